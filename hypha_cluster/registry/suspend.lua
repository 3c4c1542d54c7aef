-- Mark a client as between two connections, if it is still attached where it is thought to be.
-- KEYS  1 client
-- ARGV  1 owner, or ''  2 node, or ''  3 until (ms)
-- Answers {1 when it was done, 0 when it was before; until when; from when it counts as away},
-- or {} when it is attached elsewhere
local client = redis.call('HMGET', KEYS[1], 'owner', 'node', 'state', 'until', 'away_after', 'patience')
if not client[1] or (ARGV[1] ~= '' and client[1] ~= ARGV[1]) or (ARGV[2] ~= '' and client[2] ~= ARGV[2]) then
  return {}
end
if client[3] ~= 'online' then
  return {0, tonumber(client[4]), tonumber(client[5])}
end
local time = redis.call('TIME')
local away_after = math.floor(time[1] * 1000 + time[2] / 1000 + tonumber(client[6]))
redis.call('HSET', KEYS[1], 'state', 'suspended', 'until', ARGV[3], 'away_after', away_after)
return {1, tonumber(ARGV[3]), away_after}
