-- Find the instances whose probe is due, each for one gateway, and once at a time.
-- KEYS  1 probes  2 what the gateway found last
-- ARGV  1 what keys of instances begin with  2 how many to answer  3 name of this very call
--       4 how long it is known what was found (ms)
-- Returns their addresses; the next probe of one is not due before this one is noted, or should be over
local last = redis.call('HGET', KEYS[2], ARGV[3])
if last then
  return cjson.decode(last) -- it was sent again, because its answer was lost
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = {}
for _, address in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local known = redis.call('HMGET', ARGV[1] .. address, 'state', 'probe_for')
  if known[1] == 'running' and known[2] then
    redis.call('HSET', ARGV[1] .. address, 'probe_turn', ARGV[3])
    redis.call('ZADD', KEYS[1], now + known[2], address)
    due[#due + 1] = address
  else
    redis.call('ZREM', KEYS[1], address)
  end
end
if #due > 0 then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], ARGV[3], cjson.encode(due))
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
return due
