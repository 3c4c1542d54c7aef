-- Note when a token of a user was last used, if it is kept.
-- KEYS  1 tokens of the user
-- ARGV  1 token  2 when (Unix time in s)
-- Returns 1
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], 'used:' .. ARGV[1], ARGV[2])
end
return 1
