-- Take what is in a mailbox.
-- KEYS  1 mail  2 size of the mail
-- Answers the frames, in their order
local frames = redis.call('LRANGE', KEYS[1], 0, -1)
for i, frame in ipairs(frames) do
  frames[i] = string.sub(frame, 2)  -- without what deliver.lua has marked it with
end
redis.call('DEL', KEYS[1], KEYS[2])
return frames
