-- Put an app in its place, with all its files.
-- KEYS  1 apps of the workspace  2 files of the app  3 sizes of the apps of the workspace
-- ARGV  1 app  2 what is known of it  3 how many apps there may be  4 bytes of its files
--       5 how many bytes all apps may have  6… name of a file, its content, …
-- Answers 'installed', or what there is too much of: 'apps' or 'bytes'
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  return 'apps'
end
local bytes = tonumber(ARGV[4])
local sizes = redis.call('HGETALL', KEYS[3])
for i = 1, #sizes, 2 do
  if sizes[i] ~= ARGV[1] then
    bytes = bytes + sizes[i + 1]
  end
end
if bytes > tonumber(ARGV[5]) then
  return 'bytes'
end
redis.call('DEL', KEYS[2])
for i = 6, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
return 'installed'
