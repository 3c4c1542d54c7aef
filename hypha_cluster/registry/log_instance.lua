-- Write into the log of an instance.
-- KEYS  1 the log
-- ARGV  1 how many entries are kept  2 how long, from now on (ms)  3… text, …
for i = 3, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[1], '*', 'text', ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return #ARGV - 2
