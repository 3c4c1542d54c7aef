-- Give the lease of a node back, unless another process has it.
-- KEYS  1 lease
-- ARGV  1 epoch of the process
-- Returns 1, or 0 when another process has it
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and epoch ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
return 1
