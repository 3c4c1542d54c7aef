-- Count instances of apps, and the slots of runners.
-- KEYS  1 instances  2 runners  3 free slots of runners  4 how often which state was entered
-- ARGV  1 what keys of instances begin with
-- Returns how many instances are in which state, how many have a slot, how many slots are free, how
-- many runners there are, and how often which state was entered; pairs in turn
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local states, used, free = {}, 0, 0
for _, address in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local known = redis.call('HMGET', ARGV[1] .. address, 'state', 'runner')
  if known[1] then
    states[known[1]] = (states[known[1]] or 0) + 1
    if known[2] and known[2] ~= '' then
      used = used + 1
    end
  end
end
local runners = redis.call('ZRANGEBYSCORE', KEYS[2], now, '+inf')
for _, runner in ipairs(runners) do
  free = free + tonumber(redis.call('HGET', KEYS[3], runner) or 0)
end
local flat = {}
for state, many in pairs(states) do
  flat[#flat + 1] = state
  flat[#flat + 1] = many
end
return {flat, used, free, #runners, redis.call('HGETALL', KEYS[4])}
