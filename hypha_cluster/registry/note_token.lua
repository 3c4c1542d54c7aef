-- Keep one more token of a user, and forget others.
-- KEYS  1 tokens of the user
-- ARGV  1 token, or '' for none  2 its value  3… tokens to forget
-- Returns 1
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
for i = 3, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[i], 'used:' .. ARGV[i])
end
return 1
