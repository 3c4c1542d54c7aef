-- Write into the log of an instance, and tell those who follow it.
-- KEYS  1 the log
-- ARGV  1 how many entries are kept  2 how long, from now on (ms)  3 the channel of the instance
--       4… text, …
for i = 4, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[1], '*', 'text', ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SPUBLISH', ARGV[3], '')
return #ARGV - 3
