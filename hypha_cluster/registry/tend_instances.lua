-- Note which instances are called; add some where too many calls wait, stop those that nobody calls.
-- KEYS  1 those that are watched, by when nobody will have called them for too long  2 instances
--       3 probes  4 how often which state was entered
-- ARGV  1 what keys of instances begin with  2 … of instances of a workspace
--       3 name of the gateway  4 how long what it says holds (ms)  5 how long a lease lasts (ms)
--       6 how many instances there may be in a workspace  7 what new client ids begin with
--       8 what keys of what becomes of instances begin with  9 how many changes of one are known
--       10 how long, from the last on (ms)  11 what keys of pages of instances begin with
--       12… address, how many calls wait for it there, …  of those that were called
-- Returns the addresses of all that are watched
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local COPIED = {'app', 'name', 'family', 'files', 'version', 'wait_for', 'timeout', 'probe_every',
  'probe_delay', 'probe_for', 'idle', 'least', 'most', 'target'}
local ACTIVE = {pending = true, starting = true, running = true, backoff = true}

local function split(address)
  return address:match('^([^/]*)/(.*)$')
end

-- Count the instances of an app by state, those of the whole workspace, and the calls that wait.
local function count(workspace, app)
  local found = {active = 0, running = 0, all = 0, calls = 0}
  for _, client in ipairs(redis.call('SMEMBERS', ARGV[2] .. workspace)) do
    local key = ARGV[1] .. workspace .. '/' .. client
    local known = redis.call('HMGET', key, 'state', 'app')
    if ACTIVE[known[1]] then
      found.all = found.all + 1
      if known[2] == app then
        found.active = found.active + 1
        if known[1] == 'running' then
          found.running = found.running + 1
          local fields = redis.call('HGETALL', key)
          for i = 1, #fields, 2 do
            local calls, at = fields[i + 1]:match('^(%d+)@(%d+)$')
            if fields[i]:sub(1, 5) == 'load:' and calls then
              if now - at < tonumber(ARGV[4]) then
                found.calls = found.calls + calls
              else
                redis.call('HDEL', key, fields[i])
              end
            end
          end
        end
      end
    end
  end
  return found
end

local function note(address, before, after, epoch, runner, reason)
  redis.call('XADD', ARGV[8] .. address, 'MAXLEN', ARGV[9], '*', 'from', before, 'to', after,
    'epoch', epoch, 'runner', runner, 'reason', reason)
  redis.call('PEXPIRE', ARGV[8] .. address, ARGV[10])
end

local function begin(workspace, client, sibling)
  local key = ARGV[1] .. workspace .. '/' .. client
  if redis.call('EXISTS', key) == 1 then
    return -- this was sent again, because its answer was lost
  end
  local page = redis.call('HGETALL', ARGV[11] .. workspace .. '/' .. sibling)
  if #page == 0 then
    return -- it is just being stopped
  end
  local fields = redis.call('HMGET', ARGV[1] .. workspace .. '/' .. sibling, unpack(COPIED))
  redis.call('HSET', key, 'state', 'pending', 'epoch', 0, 'asked', now, 'changed', now)
  for i, name in ipairs(COPIED) do
    if fields[i] then
      redis.call('HSET', key, name, fields[i])
    end
  end
  redis.call('HSET', ARGV[11] .. workspace .. '/' .. client, unpack(page))
  redis.call('ZADD', KEYS[2], now, workspace .. '/' .. client)
  redis.call('SADD', ARGV[2] .. workspace, client)
  note(workspace .. '/' .. client, '', 'pending', 0, '', '')
  redis.call('HINCRBY', KEYS[4], 'pending', 1)
end

local function grow(address, number)
  local workspace, sibling = split(address)
  local known = redis.call('HMGET', ARGV[1] .. address, 'app', 'most', 'target')
  local found = count(workspace, known[1])
  local has_room = found.active < tonumber(known[2]) and found.all < tonumber(ARGV[6])
  -- One at a time: an instance that starts already will take its share.
  if has_room and found.active == found.running and found.calls > known[3] * found.running then
    begin(workspace, ARGV[7] .. number, sibling)
  end
end

local seen = {}
for i = 12, #ARGV, 2 do
  local key = ARGV[1] .. ARGV[i]
  local known = redis.call('HMGET', key, 'state', 'idle', 'most', 'app')
  if known[1] == 'running' and known[2] then
    redis.call('ZADD', KEYS[1], now + known[2], ARGV[i])
    if tonumber(known[3]) > 1 then
      redis.call('HSET', key, 'load:' .. ARGV[3], ARGV[i + 1] .. '@' .. now)
      seen[split(ARGV[i]) .. '/' .. known[4]] = ARGV[i]
    end
  end
end
local number = 0
for _, address in pairs(seen) do
  number = number + 1
  grow(address, number)
end

local function stop(address, idle)
  local reason = 'Nobody has called it for ' .. idle / 1000 .. ' s.'
  redis.call('DEL', ARGV[11] .. address)
  local known = redis.call('HMGET', ARGV[1] .. address, 'epoch', 'runner')
  redis.call('HSET', ARGV[1] .. address, 'state', 'stopping', 'changed', now, 'then', 'stopped',
    'reason', reason)
  redis.call('HINCRBY', KEYS[4], 'stopping', 1)
  note(address, 'running', 'stopping', known[1], known[2] or '', reason)
  redis.call('ZADD', KEYS[2], now + ARGV[5], address)
  redis.call('ZREM', KEYS[3], address)
  redis.call('ZREM', KEYS[1], address)
end

for _, address in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  local known = redis.call('HMGET', ARGV[1] .. address, 'state', 'idle', 'least', 'app')
  if known[1] ~= 'running' then
    redis.call('ZREM', KEYS[1], address)
  elseif count(split(address), known[4]).active > tonumber(known[3]) then
    stop(address, known[2])
  else
    redis.call('ZADD', KEYS[1], now + known[2], address)
  end
end
return redis.call('ZRANGE', KEYS[1], 0, -1)
