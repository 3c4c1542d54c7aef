-- Keep an app up no longer whose instances are started as somebody who may not come in.
-- KEYS  1 apps that are kept up  2 how this one is started  3 the page of an instance of it
-- ARGV  1 the app, as `workspace/app`
-- Returns whether it was kept up as whom the page is
local user = redis.call('HGET', KEYS[3], 'user')
if not user or redis.call('HGET', KEYS[2], 'user') ~= user then
  return 0
end
redis.call('DEL', KEYS[2])
return redis.call('ZREM', KEYS[1], ARGV[1])
