-- Say how a login has ended, once.
-- KEYS  1 login
-- ARGV  1 'done' or 'refused'  2 token, or ''  3 how long the program may take to fetch it (ms)
--       4 name of this very call
-- Returns 'reported', or why not: 'unknown', 'expired', 'twice'
local login = redis.call('HMGET', KEYS[1], 'state', 'until', 'reported')
if not login[1] then
  return 'unknown'
end
if login[3] == ARGV[4] then
  return 'reported' -- it was sent again, because its answer was lost
end
if login[1] ~= 'pending' then
  return 'twice'
end
local time = redis.call('TIME')
if time[1] * 1000 + time[2] / 1000 > tonumber(login[2]) then
  return 'expired'
end
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'token', ARGV[2], 'reported', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 'reported'
