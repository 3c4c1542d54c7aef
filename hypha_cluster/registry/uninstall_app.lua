-- Remove an app, with all its versions and files.
-- KEYS  1 apps of the workspace  2 what the app is made of  3 sizes of the apps of the workspace
-- ARGV  1 app
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[2])
return 1
