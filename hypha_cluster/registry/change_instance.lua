-- Change an instance, if it is as it is taken to be.
-- KEYS  1 the instance  2 instances  3 probes  4 those of its workspace that are over
--       5 what becomes of the instance  6 those that are watched
--       7 how often which state was entered  8 its page, unless a runner says so
-- ARGV  1 address  2 its epoch, or ''  3 states that it may be in, each with a comma behind it
--       4 its state from now on  5 when it is to be looked at, in ms from now  6 name of this very call
--       7 how many ends of a workspace are remembered  8 how many changes of an instance are known
--       9 how long, from the last on (ms)  10… field, value, …
-- Returns whether it was changed, its state and its epoch
local known = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'change')
if not known[1] then
  return {0, '', ''}
end
if known[3] == ARGV[6] then
  return {1, known[1], known[2]} -- it was sent again, because its answer was lost
end
local is_meant = ARGV[2] == '' or ARGV[2] == known[2]
if not is_meant or not string.find(',' .. ARGV[3], ',' .. known[1] .. ',', 1, true) then
  return {0, known[1], known[2]}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if known[1] ~= ARGV[4] then
  redis.call('HSET', KEYS[1], 'changed', now, 'probe_turn', '')
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZREM', KEYS[6], ARGV[1])
  local about = redis.call('HMGET', KEYS[1], 'probe_every', 'probe_delay', 'idle')
  if ARGV[4] == 'running' and about[1] then
    redis.call('ZADD', KEYS[3], now + about[2], ARGV[1])
  end
  if ARGV[4] == 'running' and about[3] then
    redis.call('ZADD', KEYS[6], now + about[3], ARGV[1])
  end
end
local runner = redis.call('HGET', KEYS[1], 'runner')
redis.call('HSET', KEYS[1], 'state', ARGV[4], 'change', ARGV[6], unpack(ARGV, 10))
if known[1] ~= ARGV[4] then
  redis.call('XADD', KEYS[5], 'MAXLEN', ARGV[8], '*', 'from', known[1], 'to', ARGV[4],
    'epoch', known[2], 'runner', runner or '', 'reason', redis.call('HGET', KEYS[1], 'reason') or '')
  redis.call('PEXPIRE', KEYS[5], ARGV[9])
  redis.call('HINCRBY', KEYS[7], ARGV[4], 1)
end
redis.call('ZADD', KEYS[2], now + ARGV[5], ARGV[1])
local is_wanted = ARGV[4] ~= 'stopping' and ARGV[4] ~= 'stopped' and ARGV[4] ~= 'failed'
if KEYS[8] and not is_wanted then
  redis.call('DEL', KEYS[8]) -- so that nobody comes in as it, whatever becomes of the record
end
if ARGV[4] == 'failed' or ARGV[4] == 'stopped' then
  redis.call('ZADD', KEYS[4], now, ARGV[1])
  if redis.call('HGET', KEYS[1], 'forgotten') then
    redis.call('ZADD', KEYS[2], now, ARGV[1])
  end
  for _, oldest in ipairs(redis.call('ZRANGE', KEYS[4], 0, -1 - ARGV[7])) do
    redis.call('ZADD', KEYS[2], now, oldest) -- whoever sees to it then forgets it
  end
end
return {1, ARGV[4], known[2]}
