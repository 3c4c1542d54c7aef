-- Want an instance of an app: a new one, or one of those that all share.
-- KEYS  1 instances  2 the new instance  3 instances of the workspace  4 shared ones of the workspace
--       5 those of the workspace that are over  6 what becomes of the new instance
--       7 those that are watched  8 how often which state was entered  9 the page of the new instance
-- ARGV  1 workspace  2 client id  3 app  4 '1' if a shared one will do  5 what keys of instances begin with
--       6 how many there may be in the workspace  7 name of this very call  8 how many changes of an instance are known
--       9 how long, from the last on (ms)  10 how many instances of the app may be shared
--       11 who its page will be, sealed  12 by what secret it gets its files  13… field, value, …
-- Returns what came of it ('asked', 'there', 'taken' or 'full') and the client id, or ids
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function key_of(client)
  return ARGV[5] .. ARGV[1] .. '/' .. client
end
local function is_over(state)
  return not state or state == 'failed' or state == 'stopped'
end
-- Whoever gets it will call it in a moment.
local function touch(client)
  local idle = redis.call('HGET', key_of(client), 'idle')
  if idle then
    redis.call('ZADD', KEYS[7], 'XX', now + idle, ARGV[1] .. '/' .. client)
  end
end
local known = redis.call('HMGET', KEYS[2], 'state', 'asked_by', 'epoch')
if known[1] and known[2] == ARGV[7] then
  return {'asked', ARGV[2]} -- it was sent again, because its answer was lost
end
local many = 0
local running, active = {}, {}
for _, client in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  local each = redis.call('HMGET', key_of(client), 'state', 'app')
  if not is_over(each[1]) then
    many = many + 1
    if each[2] == ARGV[3] and each[1] ~= 'stopping' then
      active[#active + 1] = client
      if each[1] == 'running' then
        running[#running + 1] = client
      end
    end
  end
end
local shared = redis.call('HGET', KEYS[4], ARGV[3])
local state = shared and redis.call('HGET', key_of(shared), 'state')
local is_shared = not is_over(state) and state ~= 'stopping'
if ARGV[4] == '1' then
  local found = is_shared and {shared} or {}
  if tonumber(ARGV[10]) > 1 then
    found = #running > 0 and running or active
  end
  if #found > 0 then
    for _, client in ipairs(found) do
      touch(client)
    end
    return {'there', unpack(found)}
  end
end
if not is_over(known[1]) then
  return {'taken', ARGV[2]}
end
if many >= tonumber(ARGV[6]) then
  return {'full', ''}
end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[5], ARGV[1] .. '/' .. ARGV[2])
redis.call('HSET', KEYS[2], 'state', 'pending', 'epoch', known[3] or 0, 'asked_by', ARGV[7],
  'asked', now, 'changed', now, 'app', ARGV[3], 'files', ARGV[12], unpack(ARGV, 13))
redis.call('DEL', KEYS[9])
redis.call('HSET', KEYS[9], 'user', ARGV[11], 'app', ARGV[3], 'files', ARGV[12])
redis.call('XADD', KEYS[6], 'MAXLEN', ARGV[8], '*', 'from', known[1] or '', 'to', 'pending',
  'epoch', known[3] or 0, 'runner', '', 'reason', '')
redis.call('PEXPIRE', KEYS[6], ARGV[9])
redis.call('HINCRBY', KEYS[8], 'pending', 1)
redis.call('ZADD', KEYS[1], now, ARGV[1] .. '/' .. ARGV[2])
redis.call('SADD', KEYS[3], ARGV[2])
if not is_shared then
  redis.call('HSET', KEYS[4], ARGV[3], ARGV[2])
end
return {'asked', ARGV[2]}
