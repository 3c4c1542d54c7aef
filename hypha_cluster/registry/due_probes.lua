-- Find the instances whose probe is due, each for one gateway.
-- KEYS  1 probes
-- ARGV  1 what keys of instances begin with  2 how many to answer
-- Answers their addresses
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = {}
for _, address in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local known = redis.call('HMGET', ARGV[1] .. address, 'state', 'probe_every')
  if known[1] == 'running' and known[2] then
    redis.call('ZADD', KEYS[1], now + known[2], address)
    due[#due + 1] = address
  else
    redis.call('ZREM', KEYS[1], address)
  end
end
return due
