-- A client of a user is gone; forget an anonymous user with the last one.
-- KEYS  1 user
-- ARGV  1 address  2 holder
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
if redis.call('HLEN', KEYS[1]) == 1 then
  local identity = redis.call('HGET', KEYS[1], 'identity')
  if identity and cjson.decode(identity).is_anonymous then
    redis.call('DEL', KEYS[1])
  end
end
