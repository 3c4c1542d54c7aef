-- Start what is missing of the apps that are kept up.
-- KEYS  1 apps that are kept up, by when they are looked at next  2 instances
--       3 how often which state was entered
-- ARGV  1 what keys of how they are started begin with  2 what keys of instances begin with
--       3 … of instances of a workspace  4 … of shared ones  5 how soon to look again (ms)
--       6 how long to leave one alone that has failed (ms)  7 what new client ids begin with
--       8 how many instances there may be in a workspace
--       9 what keys of what becomes of instances begin with  10 how many changes of one are known
--       11 how long, from the last on (ms)  12 what keys of pages of instances begin with
-- Returns the addresses of those that are new
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ACTIVE = {pending = true, starting = true, running = true, backoff = true}
local new = {}
local number = 0

local function count(workspace, app)
  local found = {active = 0, all = 0, failed = 0}
  for _, client in ipairs(redis.call('SMEMBERS', ARGV[3] .. workspace)) do
    local known = redis.call('HMGET', ARGV[2] .. workspace .. '/' .. client, 'state', 'app', 'changed')
    local is_meant = known[2] == app
    if ACTIVE[known[1]] then
      found.all = found.all + 1
      found.active = found.active + (is_meant and 1 or 0)
    elseif is_meant and known[1] == 'failed' then
      found.failed = math.max(found.failed, tonumber(known[3]))
    end
  end
  return found
end

-- The fields of an instance, and of its page, which runners may not see.
local function split(fields)
  local of_instance, of_page = {}, {}
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if name ~= 'user' then
      of_instance[#of_instance + 1] = name
      of_instance[#of_instance + 1] = value
    end
    if name == 'user' or name == 'app' or name == 'files' then
      of_page[#of_page + 1] = name
      of_page[#of_page + 1] = value
    end
  end
  return of_instance, of_page
end

local function begin(workspace, app, fields)
  local client, address
  local of_instance, of_page = split(fields)
  repeat -- some names are in use when this is sent again, because its answer was lost
    client = ARGV[7] .. number
    address = workspace .. '/' .. client
    number = number + 1
  until redis.call('EXISTS', ARGV[2] .. address) == 0
  redis.call('HSET', ARGV[2] .. address, 'state', 'pending', 'epoch', 0, 'asked', now, 'changed', now,
    unpack(of_instance))
  redis.call('HSET', ARGV[12] .. address, unpack(of_page))
  redis.call('ZADD', KEYS[2], now, address)
  redis.call('SADD', ARGV[3] .. workspace, client)
  redis.call('XADD', ARGV[9] .. address, 'MAXLEN', ARGV[10], '*', 'from', '', 'to', 'pending',
    'epoch', 0, 'runner', '', 'reason', '')
  redis.call('PEXPIRE', ARGV[9] .. address, ARGV[11])
  redis.call('HINCRBY', KEYS[3], 'pending', 1)
  local shared = redis.call('HGET', ARGV[4] .. workspace, app)
  if not shared or not ACTIVE[redis.call('HGET', ARGV[2] .. workspace .. '/' .. shared, 'state')] then
    redis.call('HSET', ARGV[4] .. workspace, app, client)
  end
  new[#new + 1] = address
end

for _, kept in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)) do
  local workspace, app = kept:match('^([^/]*)/(.*)$')
  local fields = redis.call('HGETALL', ARGV[1] .. kept)
  local found = count(workspace, app)
  local again = now + ARGV[5]
  if found.failed + ARGV[6] > now then
    again = found.failed + ARGV[6]
  else
    local least = tonumber(redis.call('HGET', ARGV[1] .. kept, 'least'))
    local missing = math.min(least - found.active, ARGV[8] - found.all)
    for _ = 1, missing do
      begin(workspace, app, fields)
    end
  end
  redis.call('ZADD', KEYS[1], again, kept)
end
return new
