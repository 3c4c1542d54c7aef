-- Take an address for a connection; make its workspace if it is not there.
-- KEYS  1 workspace  2 clients of the workspace  3 client  4 its services  5 services of the workspace
--       6 the note that it has left  7 its services that are to be settled
--       8 its departures that are to be finished
--       and on a single server, which has these too:
--       9 clients of the node  10 user  11 workspaces
-- ARGV  1 client id  2 holder  3 node  4 user id  5 identity
--       6 mode: 'new', 'take' takes it over, 'resume' takes it over from the same program,
--       'assert' takes it only from this very holder
--       7 how long it may be suspended before it counts as away (ms)  8 program
--       9 family of the user: one of them may take the place of another one that is suspended
--       10 name of the workspace  11… field, value, … of it, in case it has to be made
-- Returns {outcome, previous holder, previous node, until when it was suspended, from when it counted as
--          away, previous user, number of services to be settled, their ids, service id, service info, …};
--          the same when the script was sent again, because its answer was lost
local HOLDER = 'owner' -- as keys.py says
local made = redis.call('EXISTS', KEYS[1]) == 0
local old = redis.call('HMGET', KEYS[3], HOLDER, 'state', 'user_id', 'node', 'program', 'until', 'away_after',
  'before', 'family', 'since')
if old[1] then
  local is_kin = (old[9] or old[3]) == ARGV[9]
  if ARGV[6] == 'resume' and is_kin and old[5] and old[5] ~= ARGV[8] then
    return {'replaced'}
  end
  local is_heir = is_kin and ARGV[6] == 'new' and old[2] == 'suspended'
  if (old[3] ~= ARGV[4] and not is_heir) or (ARGV[6] == 'assert' and old[1] ~= ARGV[2]) then
    return {'taken'}
  end
  if old[2] == 'online' and ARGV[6] == 'new' and old[1] ~= ARGV[2] then
    return {'online'}
  end
elseif ARGV[6] == 'resume' and redis.call('EXISTS', KEYS[6]) == 1 then
  return {'left'}
end
local address = ARGV[10] .. '/' .. ARGV[1]
if KEYS[9] then
  redis.call('SADD', KEYS[9], address .. ' ' .. ARGV[2])
end
local before, answer = old[8], nil -- what this very holder found when it first claimed the address
if old[1] ~= ARGV[2] or ARGV[6] == 'assert' then
  local outcome = old[1] and 'resumed' or 'claimed'
  answer = {outcome, old[1] or '', old[4] or '', old[6] or '0', old[7] or '0', old[3] or ''}
  before = old[1] and cjson.encode(answer) or '["claimed","","","0","0",""]'
end
if old[1] and old[3] ~= ARGV[4] then -- for the other user this is as if its client had left
  redis.call('HSET', KEYS[8], old[1], cjson.encode({old[3], old[4], old[6] or '0', old[7] or '0'}))
end
if made then
  redis.call('HSET', KEYS[1], unpack(ARGV, 11))
else
  redis.call('PERSIST', KEYS[1])
end
redis.call('HSET', KEYS[3], HOLDER, ARGV[2], 'node', ARGV[3], 'state', 'online', 'user_id', ARGV[4],
  'user', ARGV[5], 'until', 0, 'away_after', 0, 'patience', ARGV[7], 'program', ARGV[8],
  'family', ARGV[9], 'before', before, 'since', old[10] or redis.call('TIME')[1] .. '000')
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[6])
if KEYS[9] then
  redis.call('HSET', KEYS[10], 'identity', ARGV[5], address, ARGV[2])
  redis.call('SADD', KEYS[11], ARGV[10])
end
answer = answer or cjson.decode(before)
local unsettled = redis.call('SMEMBERS', KEYS[7])
answer[#answer + 1] = #unsettled
for _, service in ipairs(unsettled) do
  answer[#answer + 1] = service
end
-- Services come and go with the record of who offers them.
for _, service in ipairs(old[1] and redis.call('SMEMBERS', KEYS[4]) or {}) do
  local info = redis.call('HGET', KEYS[5], ARGV[1] .. ':' .. service)
  if info then
    answer[#answer + 1] = service
    answer[#answer + 1] = info
  end
end
return answer
