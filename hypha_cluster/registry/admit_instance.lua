-- Let a page of an instance in, once.
-- KEYS  1 the instance  2 what becomes of it  3 its page
-- ARGV  1 digest of its ticket  2 name of this very call  3 how long it holds from the start (ms)
--       4 how many changes of an instance are known  5 how long, from the last on (ms)
-- Returns the user of the page, sealed, or nothing
local known = redis.call('HMGET', KEYS[1], 'state', 'ticket', 'admitted', 'changed', 'epoch', 'runner')
local user = redis.call('HGET', KEYS[3], 'user')
if not known[1] or not user then
  return false
end
if known[3] == ARGV[2] then
  return user -- it was sent again, because its answer was lost
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if known[1] ~= 'starting' or known[2] ~= ARGV[1] or now > known[4] + ARGV[3] then
  return false
end
redis.call('HDEL', KEYS[1], 'ticket')
redis.call('HSET', KEYS[1], 'admitted', ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[4], '*', 'from', 'starting', 'to', 'starting',
  'epoch', known[5], 'runner', known[6] or '', 'reason', 'Its page has come in.')
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return user
