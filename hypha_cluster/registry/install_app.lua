-- Put an app in its place, with all its files.
-- KEYS  1 apps of the workspace  2 files of the app
-- ARGV  1 app  2 what is known of it  3 how many apps there may be  4… name of a file, its content, …
-- Answers 1, or 0 when there are too many
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  return 0
end
redis.call('DEL', KEYS[2])
for i = 4, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
