-- Look after instances that are due, and take some of those that wait.
-- KEYS  1 instances  2 runners  3 what the runner took last  4 how often which state was entered
--       5 free slots of runners
-- ARGV  1 runner, or '' to take none  2 how many to take  3 how long a lease lasts (ms)
--       4 how long the end of one is remembered (ms)
--       5 what keys of instances begin with  6 … of instances of a workspace  7 … of shared ones
--       8 how many to look at, of the first and of the others
--       9 what keys of those of a workspace that are over begin with
--       10 name of this very call  11 what keys of what becomes of instances begin with
--       12 how many changes of one are known  13 how long, from the last on (ms)
--       14… what keys of logs begin with, of each kind
-- Returns the addresses of those that were taken
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = redis.call('HGET', KEYS[3], ARGV[10])
if last then
  return cjson.decode(last) -- it was sent again, because its answer was lost
end
local free = tonumber(ARGV[2])
local taken = {}
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
end
local function enter(address, state, due, ...)
  local key, history = ARGV[5] .. address, ARGV[11] .. address
  local before = redis.call('HMGET', key, 'state', 'runner')
  redis.call('HSET', key, 'state', state, 'changed', now, ...)
  redis.call('ZADD', KEYS[1], due, address)
  local after = redis.call('HMGET', key, 'runner', 'epoch', 'reason')
  local runner = state == 'starting' and after[1] or before[2]
  redis.call('XADD', history, 'MAXLEN', ARGV[12], '*', 'from', before[1], 'to', state,
    'epoch', after[2], 'runner', runner or '', 'reason', after[3] or '')
  redis.call('PEXPIRE', history, ARGV[13])
  redis.call('HINCRBY', KEYS[4], state, 1)
end
local function forget(address)
  local workspace, client = address:match('^([^/]*)/(.*)$')
  local app = redis.call('HGET', ARGV[5] .. address, 'app')
  if app and redis.call('HGET', ARGV[7] .. workspace, app) == client then
    redis.call('HDEL', ARGV[7] .. workspace, app)
  end
  redis.call('DEL', ARGV[5] .. address, ARGV[11] .. address)
  for i = 14, #ARGV do
    redis.call('DEL', ARGV[i] .. address)
  end
  redis.call('ZREM', ARGV[9] .. workspace, address)
  redis.call('SREM', ARGV[6] .. workspace, client)
  redis.call('ZREM', KEYS[1], address)
end
local function see_to(address)
  local key = ARGV[5] .. address
  local known = redis.call('HMGET', key, 'state', 'runner', 'epoch', 'then', 'forgotten')
  local state = known[1]
  if not state or state == 'failed' or state == 'stopped' then
    forget(address)
    state = ''
  elseif state == 'stopping' then -- its runner died before it had stopped it
    enter(address, known[4] or 'stopped', known[5] and now or now + ARGV[4], 'runner', '')
    redis.call('ZADD', ARGV[9] .. address:match('^[^/]*'), now, address)
    state = ''
  elseif state == 'starting' or state == 'running' then
    enter(address, 'pending', now, 'runner', '', 'reason', 'The runner ' .. known[2] .. ' is lost.')
  end
  if state ~= '' and free > 0 then
    free = free - 1
    enter(address, 'starting', now + ARGV[3], 'runner', ARGV[1], 'epoch', known[3] + 1)
    redis.call('HDEL', key, 'ticket')
    taken[#taken + 1] = address
  end
end
local due, most = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now), tonumber(ARGV[8])
for i = 1, math.min(#due, most) do
  see_to(due[i])
end
-- Those that wait for a slot stay the first in the list; so some of the others get a turn each time, too.
local others = #due - most
for i = 1, math.min(others, most) do
  see_to(due[most + 1 + (now + i) % others])
end
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[5], ARGV[1], free)
  redis.call('PEXPIRE', KEYS[5], ARGV[3])
end
if #taken > 0 then
  redis.call('DEL', KEYS[3])
  redis.call('HSET', KEYS[3], ARGV[10], cjson.encode(taken))
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
end
return taken
