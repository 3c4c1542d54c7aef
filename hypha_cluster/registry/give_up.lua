-- Take the calls out of the mailbox of a client that has been away for too long; keep the rest.
-- KEYS  1 client  2 mail  3 size of the mail  4 what was taken by this very call
-- Answers the calls, in their order; the same ones, when the script was sent again; nothing, when
-- it is too early
if redis.call('EXISTS', KEYS[4]) == 1 then
  return redis.call('LRANGE', KEYS[4], 0, -1)
end
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local client = redis.call('HMGET', KEYS[1], 'state', 'away_after')
if client[1] ~= 'suspended' then
  return {}
end
if tonumber(client[2]) > now then
  return false
end
local calls, size, expiry = {}, 0, redis.call('PTTL', KEYS[2])
local frames = redis.call('LRANGE', KEYS[2], 0, -1)
redis.call('DEL', KEYS[2], KEYS[3])
for _, frame in ipairs(frames) do
  if string.sub(frame, 1, 1) == '1' then
    calls[#calls + 1] = string.sub(frame, 2)
    redis.call('RPUSH', KEYS[4], calls[#calls])
  else
    redis.call('RPUSH', KEYS[2], frame)
    size = size + #frame - 1
  end
end
if #calls > 0 then
  redis.call('PEXPIRE', KEYS[4], 30000)
end
if size > 0 then
  redis.call('SET', KEYS[3], size, 'PX', expiry)
  redis.call('PEXPIRE', KEYS[2], expiry)
end
return calls
