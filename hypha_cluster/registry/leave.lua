-- Remove a client with all that it offers, if it still has the holder that is given. What has to follow
-- in other slots is noted here, and returned to every caller until it is done.
-- KEYS  1 workspace  2 clients of the workspace  3 client  4 its services  5 services of the workspace
--       6 mail  7 size of the mail  8 the note that it has left  9 its public services
--       10 its services that are to be settled  11 its departures that are to be finished
-- ARGV  1 client id  2 holder, or '' for one whose suspension ended
--       3 key of the providers of a service, without the service
--       4 how long it is remembered of a holder that it has left (ms)
-- Returns {1 when there is such a client, when its suspension ends (ms) or 0 if it has none,
--          1 when there is the workspace, number of services to be settled, their ids,
--          holder of a departure, what is known of it, …}
local HOLDER = 'owner' -- as keys.py says
local has_workspace = nil
local client = redis.call('HMGET', KEYS[3], HOLDER, 'state', 'until', 'user_id', 'node', 'away_after')
local is_suspended, is_over = client[2] == 'suspended', false
if is_suspended then
  local time = redis.call('TIME')
  is_over = tonumber(client[3]) <= time[1] * 1000 + time[2] / 1000
end
if client[1] and (client[1] == ARGV[2] or (ARGV[2] == '' and is_over)) then
  for _, service in ipairs(redis.call('SMEMBERS', KEYS[4])) do
    redis.call('HDEL', KEYS[5], ARGV[1] .. ':' .. service)
    redis.call('SREM', ARGV[3] .. service, ARGV[1])
  end
  for _, service in ipairs(redis.call('SMEMBERS', KEYS[9])) do
    redis.call('SADD', KEYS[10], service)
  end
  redis.call('DEL', KEYS[3], KEYS[4], KEYS[6], KEYS[7], KEYS[9])
  redis.call('SREM', KEYS[2], ARGV[1])
  if ARGV[2] ~= '' then
    redis.call('SET', KEYS[8], '', 'PX', ARGV[4])
  end
  redis.call('HSET', KEYS[11], client[1],
    cjson.encode({client[4], client[5], client[3] or '0', client[6] or '0'}))
  if redis.call('SCARD', KEYS[2]) == 0 and redis.call('HGET', KEYS[1], 'persistent') ~= 'true' then
    redis.call('DEL', KEYS[1])
    has_workspace = 0
  end
  client[1], is_suspended = false, false
end
local unsettled = redis.call('SMEMBERS', KEYS[10])
local answer = {
  client[1] and 1 or 0,
  is_suspended and tonumber(client[3]) or 0,
  has_workspace or redis.call('EXISTS', KEYS[1]),
  #unsettled,
}
for _, service in ipairs(unsettled) do
  answer[#answer + 1] = service
end
for _, word in ipairs(redis.call('HGETALL', KEYS[11])) do
  answer[#answer + 1] = word
end
return answer
