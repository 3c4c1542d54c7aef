-- Make a workspace, unless there is one.
-- KEYS  1 workspace
-- ARGV  1 lifetime (s) while nobody joins it, or '' for one that stays
--       2… setting, value, …
-- Returns 1, or 0 when there is another one
if redis.call('EXISTS', KEYS[1]) == 1 then
  for i = 2, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[i]) ~= ARGV[i + 1] then
      return 0
    end
  end
  return 1 -- the script was sent again, because its answer was lost
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
if ARGV[1] ~= '' then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
return 1
