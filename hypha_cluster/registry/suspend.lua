-- Mark clients as suspended, each only if it still has the holder that is given.
-- KEYS  clients
-- ARGV  1 how long they keep their place (ms)  2 how long ago their connections broke (ms)
--       3… their holders
-- Returns for each: 1 when this was done now, 0 when it was suspended before, -1 when it has another
-- holder or is gone, -2 when the key holds something else; until when; from when on it counts as away
local HOLDER = 'owner' -- as keys.py says
local time = redis.call('TIME')
local broken = math.floor(time[1] * 1000 + time[2] / 1000 - tonumber(ARGV[2]))
local answer = {}
for i, key in ipairs(KEYS) do
  local client = redis.pcall('HMGET', key, HOLDER, 'state', 'until', 'away_after', 'patience')
  local done, till, away_after = 0, tonumber(client[3]), tonumber(client[4])
  if client.err then
    done, till, away_after = -2, 0, 0
  elseif client[1] ~= ARGV[i + 2] then
    done, till, away_after = -1, 0, 0
  elseif client[2] == 'online' then
    done, till, away_after = 1, broken + tonumber(ARGV[1]), broken + tonumber(client[5])
    redis.call('HSET', key, 'state', 'suspended', 'until', till, 'away_after', away_after)
  end
  answer[#answer + 1] = done
  answer[#answer + 1] = till
  answer[#answer + 1] = away_after
end
return answer
