-- Note a revocation, and forget those that may be forgotten.
-- KEYS  1 revoked
-- ARGV  1 its field, or '' to note nothing  2 its value  3… fields that are over
-- Returns the version, by which the gateways see that something has changed
for i = 3, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[i])
end
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
return redis.call('HINCRBY', KEYS[1], 'version', 1)
