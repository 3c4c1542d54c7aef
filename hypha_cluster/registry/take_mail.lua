-- Take what is in a mailbox.
-- KEYS  1 mail  2 size of the mail  3 what was taken by this very call
-- Returns the frames, in their order; the same ones, when the script was sent again
if redis.call('EXISTS', KEYS[3]) == 0 and redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('RENAME', KEYS[1], KEYS[3])
  redis.call('PEXPIRE', KEYS[3], 30000)
  redis.call('DEL', KEYS[2])
end
local frames = redis.call('LRANGE', KEYS[3], 0, -1)
for i, frame in ipairs(frames) do
  frames[i] = string.sub(frame, 2)  -- without its mark
end
return frames
