-- Look how a login stands; hand its token over once, to the program that has its secret.
-- KEYS  1 login
-- ARGV  1 digest of the secret  2 name of this very call
-- Returns {'pending'}, {'done', token}, {'refused'}, {'expired'} or {'unknown'}
local login = redis.call('HMGET', KEYS[1], 'state', 'until', 'secret', 'token', 'taken')
if not login[1] or login[3] ~= ARGV[1] then
  return {'unknown'}
end
if login[5] then -- it was sent again, because its answer was lost; else it is over
  return login[5] == ARGV[2] and {login[1], login[4]} or {'unknown'}
end
if login[1] == 'pending' then
  local time = redis.call('TIME')
  return {time[1] * 1000 + time[2] / 1000 > tonumber(login[2]) and 'expired' or 'pending'}
end
redis.call('HSET', KEYS[1], 'taken', ARGV[2])
redis.call('PEXPIRE', KEYS[1], 30000)
return {login[1], login[4]}
