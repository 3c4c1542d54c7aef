-- Take an address for a connection; make its workspace if it is not there.
-- KEYS  1 workspace  2 clients of the workspace  3 client  4 its services  5 services of the workspace
--       6 that it has left
-- ARGV  1 client id  2 owner  3 node  4 user id  5 identity  6 now (ms)  7 mode: 'new', 'take' takes it over,
--       'resume' takes it over from the same program, 'assert' takes it only from this very owner
--       8 how long it may be away before calls to it are refused (ms)  9 program
--       10… field, value, … of the workspace, should it have to be made
-- Answers {outcome, previous owner, previous node, service id, service info, …}
local made = redis.call('EXISTS', KEYS[1]) == 0
local old = redis.call('HMGET', KEYS[3], 'owner', 'state', 'user_id', 'node', 'program')
if old[1] then
  if old[3] ~= ARGV[4] or (ARGV[7] == 'assert' and old[1] ~= ARGV[2]) then
    return {'taken', old[1], ''}
  end
  if old[2] == 'online' and ARGV[7] == 'new' and old[1] ~= ARGV[2] then
    return {'online', old[1], ''}
  end
  if ARGV[7] == 'resume' and old[5] and old[5] ~= ARGV[9] then
    return {'replaced', old[1], ''}
  end
end
if made then
  redis.call('HSET', KEYS[1], unpack(ARGV, 10))
end
redis.call('PERSIST', KEYS[1])
redis.call('HSET', KEYS[3], 'owner', ARGV[2], 'node', ARGV[3], 'state', 'online',
  'user_id', ARGV[4], 'user', ARGV[5], 'until', 0, 'patience', ARGV[8], 'program', ARGV[9])
redis.call('HSETNX', KEYS[3], 'since', ARGV[6])
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[6])
local answer = {old[1] and 'resumed' or (made and 'made' or 'claimed'), old[1] or '', old[4] or ''}
if old[1] == ARGV[2] and ARGV[7] ~= 'assert' then -- the script was sent again, because its answer was lost
  answer[2] = ''
  answer[3] = ''
end
for _, service in ipairs(redis.call('SMEMBERS', KEYS[4])) do
  local info = redis.call('HGET', KEYS[5], ARGV[1] .. ':' .. service)
  if info then
    answer[#answer + 1] = service
    answer[#answer + 1] = info
  end
end
return answer
