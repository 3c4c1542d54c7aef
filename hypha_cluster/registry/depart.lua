-- Departures of a client: all that follows, and then forget the notes of them and what led there.
-- For a single server alone; forget_user.lua, finish.lua and done.lua do the same in a cluster.
-- KEYS  1 departures of the client that are to be finished  2 workspace  3 workspaces
--       4 suspended clients by time (ms)  5 the same of those that are away,
--       and for each departure: user, clients of the node
-- ARGV  1 address  2 name of the workspace, and for each departure: holder, its two times (ms) or 0
local holders = {}
for i = 6, #KEYS, 2 do
  local holder = ARGV[#holders * 3 + 3]
  holders[#holders + 1] = holder
  local user = redis.call('HMGET', KEYS[i], ARGV[1], 'identity')
  local is_its = user[1] == holder
  local is_last = user[2] and redis.call('HLEN', KEYS[i]) == (is_its and 2 or 1)
  if is_last and cjson.decode(user[2]).is_anonymous then
    redis.call('DEL', KEYS[i])
  elseif is_its then
    redis.call('HDEL', KEYS[i], ARGV[1])
  end
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('SREM', KEYS[3], ARGV[2])
end
redis.call('HDEL', KEYS[1], unpack(holders))
for i, holder in ipairs(holders) do
  redis.call('SREM', KEYS[i * 2 + 5], ARGV[1] .. ' ' .. holder)
  for list = 4, 5 do
    local over = ARGV[i * 3 + list - 3]
    local time = over ~= '0' and redis.call('ZSCORE', KEYS[list], ARGV[1])
    if time and tonumber(time) == tonumber(over) then
      redis.call('ZREM', KEYS[list], ARGV[1])
    end
  end
end
