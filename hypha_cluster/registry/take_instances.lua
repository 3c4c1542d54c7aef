-- Look after instances that are due, and take some of those that wait: each user has their turn.
-- KEYS  1 instances  2 runners  3 what the runner took last  4 how often which state was entered
--       5 free slots of runners
-- ARGV  1 runner, or '' to take none  2 how many to take  3 how long a lease lasts (ms)
--       4 how long the end of one is remembered (ms)
--       5 what keys of instances begin with  6 … of instances of a workspace  7 … of shared ones
--       8 how many to look at, by turns of workspaces, and of the others
--       9 what keys of those of a workspace that are over begin with
--       10 name of this very call  11 what keys of what becomes of instances begin with
--       12 how many changes of one are known  13 how long, from the last on (ms)
--       14 what keys of pages of instances begin with  15… what keys of logs begin with, of each kind
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
  redis.call('DEL', ARGV[5] .. address, ARGV[11] .. address, ARGV[14] .. address)
  for i = 15, #ARGV do
    redis.call('DEL', ARGV[i] .. address)
  end
  redis.call('ZREM', ARGV[9] .. workspace, address)
  redis.call('SREM', ARGV[6] .. workspace, client)
  redis.call('ZREM', KEYS[1], address)
end
local waiting = {}
local function see_to(address)
  local key = ARGV[5] .. address
  local known = redis.call('HMGET', key, 'state', 'runner', 'then', 'forgotten', 'family')
  local state = known[1]
  if not state or state == 'failed' or state == 'stopped' then
    if ARGV[1] == '' then -- a runner has no right to all that is there of it
      forget(address)
    end
    return
  elseif state == 'stopping' then -- its runner died before it had stopped it
    enter(address, known[3] or 'stopped', known[4] and now or now + ARGV[4], 'runner', '')
    redis.call('ZADD', ARGV[9] .. address:match('^[^/]*'), now, address)
    return
  elseif state == 'starting' or state == 'running' then
    enter(address, 'pending', now, 'runner', '', 'reason', 'The runner ' .. known[2] .. ' is lost.')
  end
  waiting[#waiting + 1] = {address = address, family = known[5] or ''}
end
local function take(address)
  local epoch = redis.call('HGET', ARGV[5] .. address, 'epoch')
  enter(address, 'starting', now + ARGV[3], 'runner', ARGV[1], 'epoch', epoch + 1)
  redis.call('HDEL', ARGV[5] .. address, 'ticket')
  taken[#taken + 1] = address
  free = free - 1
end

-- The first of each workspace, then the second of each, …: no workspace hides another's.
local function by_turns(due)
  local rounds, counts = {}, {}
  for _, address in ipairs(due) do
    local workspace = address:match('^[^/]*')
    local round = (counts[workspace] or 0) + 1
    counts[workspace] = round
    rounds[round] = rounds[round] or {}
    table.insert(rounds[round], address)
  end
  local found = {}
  for _, round in ipairs(rounds) do
    for _, address in ipairs(round) do
      found[#found + 1] = address
    end
  end
  return found
end

-- How many slots each user has.
local function held()
  local counts = {}
  for _, address in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    local known = redis.call('HMGET', ARGV[5] .. address, 'runner', 'family')
    if known[1] and known[1] ~= '' and known[2] then
      counts[known[2]] = (counts[known[2]] or 0) + 1
    end
  end
  return counts
end

-- Give the slots that are free to those of the users who have the fewest.
local function share_out()
  local counts, queues, users = held(), {}, {}
  for _, each in ipairs(waiting) do
    if not queues[each.family] then
      queues[each.family] = {first = 1}
      users[#users + 1] = each.family
    end
    table.insert(queues[each.family], each.address)
  end
  while free > 0 do
    local next_one
    for _, user in ipairs(users) do
      local is_waiting = queues[user][queues[user].first]
      if is_waiting and (not next_one or (counts[user] or 0) < (counts[next_one] or 0)) then
        next_one = user
      end
    end
    local queue = queues[next_one]
    take(queue[queue.first])
    queue.first = queue.first + 1
    counts[next_one] = (counts[next_one] or 0) + 1
  end
end

local due, most = by_turns(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)), tonumber(ARGV[8])
for i = 1, math.min(#due, most) do
  see_to(due[i])
end
-- Those that wait for a slot stay the first in the list; so some of the others get a turn each time, too.
local others = #due - most
for i = 1, math.min(others, most) do
  see_to(due[most + 1 + (now + i) % others])
end
if #waiting > free and free > 0 then
  share_out()
elseif free > 0 then
  for _, each in ipairs(waiting) do
    take(each.address)
  end
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
