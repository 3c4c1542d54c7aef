-- Put frames, oldest first, before all that is in a mailbox; who hears the client gets them at once.
-- KEYS  1 client  2 mail  3 size of the mail  4 the note that this very call was done
-- ARGV  1 channel  2 expiry (ms)  3… frames, each with its mark
-- Returns for each frame 1, or 0 when there is no such client; nothing, when it was done before
if not redis.call('SET', KEYS[4], '', 'NX', 'PX', 30000) then
  return {}
end
local is_known = redis.call('EXISTS', KEYS[1])
local outcomes, waiting, size = {}, {}, 0
for i = 3, #ARGV do
  if redis.call('SPUBLISH', ARGV[1], string.sub(ARGV[i], 2)) > 0 then
    outcomes[i - 2] = 1
  else
    outcomes[i - 2] = is_known
    waiting[#waiting + 1] = ARGV[i]
    size = size + #ARGV[i] - 1
  end
end
if is_known == 1 and size > 0 then
  for i = #waiting, 1, -1 do
    redis.call('LPUSH', KEYS[2], waiting[i])
  end
  redis.call('SET', KEYS[3], tonumber(redis.call('GET', KEYS[3]) or 0) + size, 'PX', ARGV[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return outcomes
