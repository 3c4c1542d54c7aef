-- Begin a login that a program waits for.
-- KEYS  1 login
-- ARGV  1 how long it may take (ms)  2 how long its end is remembered besides (ms)  3… field, value, …
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('EXISTS', KEYS[1]) == 0 then -- else it was sent again, because its answer was lost
  redis.call('HSET', KEYS[1], 'state', 'pending', 'until', now + ARGV[1], unpack(ARGV, 3))
  redis.call('PEXPIRE', KEYS[1], ARGV[1] + ARGV[2])
end
return 1
