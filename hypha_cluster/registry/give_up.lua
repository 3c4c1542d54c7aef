-- Take the calls out of mailboxes of clients that have been away for too long; keep the rest.
-- KEYS  of each: client, mail, size of the mail, what was taken by this very call
-- Returns for each the calls, in their order, the same ones when the script was sent again; or, when
-- it does not count as away yet, from when on it will (ms)
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000

local function give_up(mail, size_of_mail, taken)
  local calls, size, expiry = {}, 0, redis.call('PTTL', mail)
  local frames = redis.call('LRANGE', mail, 0, -1)
  redis.call('DEL', mail, size_of_mail)
  for _, frame in ipairs(frames) do
    if string.sub(frame, 1, 1) == '1' then
      calls[#calls + 1] = string.sub(frame, 2)
      redis.call('RPUSH', taken, calls[#calls])
    else
      redis.call('RPUSH', mail, frame)
      size = size + #frame - 1
    end
  end
  if #calls > 0 then
    redis.call('PEXPIRE', taken, 30000)
  end
  if size > 0 then
    redis.call('SET', size_of_mail, size, 'PX', expiry)
    redis.call('PEXPIRE', mail, expiry)
  end
  return calls
end

local answer = {}
for i = 1, #KEYS, 4 do
  local client = redis.pcall('HMGET', KEYS[i], 'state', 'away_after')
  local calls = redis.call('LRANGE', KEYS[i + 3], 0, -1)
  if #calls == 0 and client[1] == 'suspended' then
    if tonumber(client[2]) > now then
      calls = tonumber(client[2])
    elseif redis.call('EXISTS', KEYS[i + 1]) == 1 then
      calls = give_up(KEYS[i + 1], KEYS[i + 2], KEYS[i + 3])
    end
  end
  answer[#answer + 1] = calls
end
return answer
