-- Have some instances of an app always there, or no longer.
-- KEYS  1 apps that are kept up, by when they are looked at next  2 how this one is started
-- ARGV  1 the app, as `workspace/app`  2 'always', 'new' if it must not be kept up yet, or 'kept' if it must
--       3… field, value, …; nothing to keep it up no longer
local is_kept = redis.call('EXISTS', KEYS[2]) == 1
if (ARGV[2] == 'new' and is_kept) or (ARGV[2] == 'kept' and not is_kept) then
  return 0
end
redis.call('DEL', KEYS[2])
if #ARGV == 2 then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('HSET', KEYS[2], unpack(ARGV, 3))
return redis.call('ZADD', KEYS[1], 0, ARGV[1])
