-- Find nodes whose lease seems to have ended.
-- KEYS  1 sorted set of nodes by the end of their lease (ms)
-- ARGV  1 a node that is asked for, or '' for all
-- Returns {node, how long ago (ms), …}
local time = redis.call('TIME')
local now = math.floor(time[1] * 1000 + time[2] / 1000)
local answer = {}
if ARGV[1] ~= '' then
  local ended = redis.call('ZSCORE', KEYS[1], ARGV[1])
  return ended and {ARGV[1], math.max(0, now - tonumber(ended))} or {}
end
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES')
for i = 1, #found, 2 do
  answer[#answer + 1] = found[i]
  answer[#answer + 1] = now - tonumber(found[i + 1])
end
return answer
