-- Say how many of something are on one gateway; learn how many are on all.
-- KEYS  1 hash, gateway -> how many and when it said so (ms)
-- ARGV  1 gateway  2 how many  3 how long that counts (ms)
-- Returns how many there are on all gateways
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%s %.0f', ARGV[2], now))
end
local all, total = redis.call('HGETALL', KEYS[1]), 0
for i = 1, #all, 2 do
  local many, at = string.match(all[i + 1], '^(%d+) (%d+)$')
  if now - tonumber(at) > tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], all[i])
  else
    total = total + tonumber(many)
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return total
