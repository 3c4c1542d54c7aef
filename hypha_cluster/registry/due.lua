-- Hand out addresses whose time has come; nobody else gets them for a while. Whoever has dealt with
-- one removes it meanwhile (done.lua).
-- KEYS  1 sorted set of addresses by time (ms)
-- ARGV  1 how many at the most  2 for how long they are handed out (ms)
-- Returns {their new time, address, …}
local time = redis.call('TIME')
local now = math.floor(time[1] * 1000 + time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
local later = now + tonumber(ARGV[2])
for _, address in ipairs(due) do
  redis.call('ZADD', KEYS[1], later, address)
end
return {later, unpack(due)}
