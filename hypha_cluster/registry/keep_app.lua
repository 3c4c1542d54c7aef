-- Have some instances of an app always there, or no longer.
-- KEYS  1 apps that are kept up, by when they are looked at next  2 how this one is started
-- ARGV  1 the app, as `workspace/app`  2… field, value, …; nothing to keep it up no longer
redis.call('DEL', KEYS[2])
if #ARGV == 1 then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
return redis.call('ZADD', KEYS[1], 0, ARGV[1])
