-- Renew the lease of a node.
-- KEYS  1 lease
-- ARGV  1 epoch of the process  2 how long it lasts (ms)
-- Returns 1 when it was renewed, 0 when it had ended, -1 when another process has it
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  return 0
end
if epoch ~= ARGV[1] then
  return -1
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
