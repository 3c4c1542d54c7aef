-- Put an account in the place of what it was, or remove it.
-- KEYS  1 accounts  2 names by e-mail address
-- ARGV  1 name  2 e-mail address  3 account before  4 account, or '' to remove it
-- Returns 1, or 0 when it is no longer what it was before
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known == ARGV[4] or (not known and ARGV[4] == '') then
  return 1 -- it was sent again, because its answer was lost
end
if known ~= ARGV[3] then
  return 0
end
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  if redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[1] then
    redis.call('HDEL', KEYS[2], ARGV[2])
  end
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
end
return 1
