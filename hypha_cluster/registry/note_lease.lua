-- Note until when a node has its lease, for whoever looks for those that have ended.
-- KEYS  1 sorted set of nodes by the end of their lease (ms)
-- ARGV  1 node  2 how long the lease lasts (ms)
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], math.floor(time[1] * 1000 + time[2] / 1000) + tonumber(ARGV[2]), ARGV[1])
