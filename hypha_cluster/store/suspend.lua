-- Mark a client as between two connections, if it is still attached where it is thought to be.
-- KEYS  1 client
-- ARGV  1 owner, or ''  2 node, or ''  3 until (ms)
-- Answers {1 when it was done, 0 when it was before; until when} or {} when it is attached elsewhere
local client = redis.call('HMGET', KEYS[1], 'owner', 'node', 'state', 'until')
if not client[1] or (ARGV[1] ~= '' and client[1] ~= ARGV[1]) or (ARGV[2] ~= '' and client[2] ~= ARGV[2]) then
  return {}
end
if client[3] ~= 'online' then
  return {0, tonumber(client[4])}
end
redis.call('HSET', KEYS[1], 'state', 'suspended', 'until', ARGV[3])
return {1, tonumber(ARGV[3])}
