-- Change what a client offers, if it still has the holder that is given.
-- KEYS  1 client  2 its services  3 services of the workspace  4 its public services
--       5 its services that are to be settled: whose place in the public listing may be wrong
-- ARGV  1 client id  2 holder  3 key of the providers of a service, without the service
--       4 number of services to remove, then their ids
--       then of each to put: id, '1' when it is public, info
-- Returns nil when the client is another's, else the ids of the services to be settled
local HOLDER = 'owner' -- as keys.py says
if redis.call('HGET', KEYS[1], HOLDER) ~= ARGV[2] then
  return nil
end
local function hide(service)
  if redis.call('SREM', KEYS[4], service) == 1 then
    redis.call('SADD', KEYS[5], service)
  end
end
local first = 5 + tonumber(ARGV[4])
for i = 5, first - 1 do
  redis.call('HDEL', KEYS[3], ARGV[1] .. ':' .. ARGV[i])
  redis.call('SREM', KEYS[2], ARGV[i])
  redis.call('SREM', ARGV[3] .. ARGV[i], ARGV[1])
  hide(ARGV[i])
end
for i = first, #ARGV, 3 do
  redis.call('HSET', KEYS[3], ARGV[1] .. ':' .. ARGV[i], ARGV[i + 2])
  local is_new = redis.call('SADD', KEYS[2], ARGV[i]) == 1
  redis.call('SADD', ARGV[3] .. ARGV[i], ARGV[1])
  if ARGV[i + 1] == '1' then
    redis.call('SADD', KEYS[4], ARGV[i])
    redis.call('SADD', KEYS[5], ARGV[i])
  elseif not is_new then
    hide(ARGV[i])
  end
end
return redis.call('SMEMBERS', KEYS[5])
