-- Find the instances whose probe is due, each for one gateway.
-- KEYS  1 instances
-- ARGV  1 what keys of instances begin with
-- Answers their addresses
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = {}
for _, address in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local key = ARGV[1] .. address
  local known = redis.call('HMGET', key, 'state', 'probe_every', 'probe_at', 'changed', 'probe_delay')
  if known[1] == 'running' and known[2] then
    local at = tonumber(known[3] or 0)
    local first = known[4] + known[5]
    if now >= at and now >= first then
      redis.call('HSET', key, 'probe_at', now + known[2])
      due[#due + 1] = address
    end
  end
end
return due
