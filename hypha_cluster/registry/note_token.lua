-- Keep one more token of a user and forget those that have expired, or forget one.
-- KEYS  1 tokens of the user
-- ARGV  1 token, or '' to forget one  2 its value, or the token to forget  3… those that have not expired
-- Answers 1
if ARGV[1] == '' then
  redis.call('HDEL', KEYS[1], ARGV[2])
  return 1
end
local living = {[ARGV[1]] = true}
for i = 3, #ARGV do
  living[ARGV[i]] = true
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
for _, token in ipairs(redis.call('HKEYS', KEYS[1])) do
  if not living[token] then
    redis.call('HDEL', KEYS[1], token)
  end
end
return 1
