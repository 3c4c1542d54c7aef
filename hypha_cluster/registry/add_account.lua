-- Make an account, unless its name or its e-mail address is taken.
-- KEYS  1 accounts  2 names by e-mail address
-- ARGV  1 name  2 e-mail address  3 account
-- Returns 'made', or what is taken: 'name' or 'address'
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
  return known == ARGV[3] and 'made' or 'name' -- it was sent again, because its answer was lost
end
if redis.call('HSETNX', KEYS[2], ARGV[2], ARGV[1]) == 0 then
  return 'address'
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 'made'
