-- Change what a client offers, if it is still the one that is meant.
-- KEYS  1 client  2 its services  3 services of the workspace
-- ARGV  1 client id  2 owner  3 key of the providers of a service, without the service
--       4 number of services to remove, then their ids; then id, info, … of those to put
-- Answers nil when the client is another's, else {id, info, …} of what was removed or replaced
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[2] then
  return nil
end
local before = {}
local function remember(service)
  local info = redis.call('HGET', KEYS[3], ARGV[1] .. ':' .. service)
  if info then
    before[#before + 1] = service
    before[#before + 1] = info
  end
end
local first = 5 + tonumber(ARGV[4])
for i = 5, first - 1 do
  remember(ARGV[i])
  redis.call('HDEL', KEYS[3], ARGV[1] .. ':' .. ARGV[i])
  redis.call('SREM', KEYS[2], ARGV[i])
  redis.call('SREM', ARGV[3] .. ARGV[i], ARGV[1])
end
for i = first, #ARGV, 2 do
  remember(ARGV[i])
  redis.call('HSET', KEYS[3], ARGV[1] .. ':' .. ARGV[i], ARGV[i + 1])
  redis.call('SADD', KEYS[2], ARGV[i])
  redis.call('SADD', ARGV[3] .. ARGV[i], ARGV[1])
end
return before
