-- Remove a client with all that it offers, if it is still the one that is meant.
-- KEYS  1 workspace  2 clients of the workspace  3 client  4 its services  5 services of the workspace
--       6 mail  7 size of the mail  8 that it has left
-- ARGV  1 client id  2 owner, or '' for one whose suspension ended  3 now (ms)
--       4 key of the providers of a service, without the service
--       5 how long it is remembered of an owner that it has left (ms)
-- Answers {} when it is another's, else {'1' when the workspace went too, user id, node, owner,
--          service id, service info, …}
local client = redis.call('HMGET', KEYS[3], 'owner', 'state', 'until', 'user_id', 'node')
if not client[1] then
  return {}
end
local ended = client[2] == 'suspended' and tonumber(client[3]) <= tonumber(ARGV[3])
if not (client[1] == ARGV[2] or (ARGV[2] == '' and ended)) then
  return {}
end
local answer = {'0', client[4], client[5], client[1]}
for _, service in ipairs(redis.call('SMEMBERS', KEYS[4])) do
  local field = ARGV[1] .. ':' .. service
  local info = redis.call('HGET', KEYS[5], field)
  if info then
    answer[#answer + 1] = service
    answer[#answer + 1] = info
  end
  redis.call('HDEL', KEYS[5], field)
  redis.call('SREM', ARGV[4] .. service, ARGV[1])
end
redis.call('DEL', KEYS[3], KEYS[4], KEYS[6], KEYS[7])
redis.call('SREM', KEYS[2], ARGV[1])
if ARGV[2] ~= '' then
  redis.call('SET', KEYS[8], '', 'PX', ARGV[5])
end
if redis.call('SCARD', KEYS[2]) == 0 and redis.call('HGET', KEYS[1], 'persistent') ~= 'true' then
  redis.call('DEL', KEYS[1])
  answer[1] = '1'
end
return answer
