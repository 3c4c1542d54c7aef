-- Take a service out of the listing of public ones, if it is still the registration that is meant.
-- KEYS  1 public services of this name
-- ARGV  1 full id  2 service info
-- Answers how many of this name are left
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return redis.call('HLEN', KEYS[1])
