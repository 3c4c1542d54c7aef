-- Count something that may happen so often within a time.
-- KEYS  1 counter
-- ARGV  1 the time (ms)  2 how much to add; 0 only looks
-- Returns {how often by now, how long until it begins anew (ms)}
if ARGV[2] == '0' then
  return {tonumber(redis.call('GET', KEYS[1]) or 0), redis.call('PTTL', KEYS[1])}
end
local count = redis.call('INCRBY', KEYS[1], ARGV[2])
if redis.call('PTTL', KEYS[1]) < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return {count, redis.call('PTTL', KEYS[1])}
