-- Take addresses out of a list of times, each only if it still has the time that is given.
-- KEYS  1 sorted set of addresses by time (ms)
-- ARGV  time, address, …
for i = 1, #ARGV, 2 do
  local time = redis.call('ZSCORE', KEYS[1], ARGV[i + 1])
  if time and tonumber(time) == tonumber(ARGV[i]) then
    redis.call('ZREM', KEYS[1], ARGV[i + 1])
  end
end
