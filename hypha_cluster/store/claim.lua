-- Take an address for a connection; make its workspace when that is wanted.
-- KEYS  1 workspace  2 clients of the workspace  3 client  4 its services  5 services of the workspace
-- ARGV  1 client id  2 owner  3 node  4 user id  5 identity  6 now (ms)  7 '1' to take it over
--       8… field, value, … of the workspace, when it may be made
-- Answers {outcome, previous owner, service id, service info, …}
local made = redis.call('EXISTS', KEYS[1]) == 0
if made and not ARGV[8] then
  return {'no workspace', ''}
end
local old = redis.call('HMGET', KEYS[3], 'owner', 'state', 'user_id')
if old[1] then
  if old[3] ~= ARGV[4] or (old[2] == 'online' and ARGV[7] ~= '1') then
    return {'taken', old[1]}
  end
end
if made then
  redis.call('HSET', KEYS[1], unpack(ARGV, 8))
end
redis.call('PERSIST', KEYS[1])
redis.call('HSET', KEYS[3], 'owner', ARGV[2], 'node', ARGV[3], 'state', 'online',
  'user_id', ARGV[4], 'user', ARGV[5], 'until', 0)
redis.call('HSETNX', KEYS[3], 'since', ARGV[6])
redis.call('SADD', KEYS[2], ARGV[1])
local answer = {old[1] and 'resumed' or (made and 'made' or 'claimed'), old[1] or ''}
for _, service in ipairs(redis.call('SMEMBERS', KEYS[4])) do
  local info = redis.call('HGET', KEYS[5], ARGV[1] .. ':' .. service)
  if info then
    answer[#answer + 1] = service
    answer[#answer + 1] = info
  end
end
return answer
