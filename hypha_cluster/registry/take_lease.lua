-- Take the lease of a node, unless another process has it.
-- KEYS  1 lease
-- ARGV  1 epoch of the process  2 what others may know of it  3 how long it lasts (ms)
--       4 how long the lease of another process may still last at most if that does not renew it (ms)
-- Returns nil when it was taken, else what is known of the process that has it
local lease = redis.call('HMGET', KEYS[1], 'epoch', 'about')
if lease[1] and lease[1] ~= ARGV[1] and redis.call('PTTL', KEYS[1]) > tonumber(ARGV[4]) then
  return lease[2]
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'about', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return nil
