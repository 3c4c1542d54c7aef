-- Note what came of a probe, if it is still its turn; the next one is due a period from now.
-- KEYS  1 the instance  2 probes
-- ARGV  1 address  2 the turn: name of the call that found it  3 '1' if the app is well
--       4 how long it has to run well, so that its restarts do not count any more (ms)
-- Returns how often it has failed in a row by now; nothing if it was not its turn
local known = redis.call('HMGET', KEYS[1], 'state', 'probe_turn', 'probe_noted', 'probe_every', 'changed')
if known[1] ~= 'running' or known[2] ~= ARGV[2] then
  return false
end
if known[3] == ARGV[2] then
  return tonumber(redis.call('HGET', KEYS[1], 'probe_failures')) -- it was sent again
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'probe_noted', ARGV[2])
redis.call('ZADD', KEYS[2], now + known[4], ARGV[1])
if ARGV[3] ~= '1' then
  return redis.call('HINCRBY', KEYS[1], 'probe_failures', 1)
end
redis.call('HSET', KEYS[1], 'probe_failures', 0)
if now - known[5] > tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[1], 'probe_restarts', 0)
end
return 0
