-- Note that somebody has used some of a rate.
-- KEYS  1 when all that was used is paid off (ms)
-- ARGV  1 what is used, as the time in which so much may be used (ms)
--       2 how much may be used ahead of its time (ms)
--       3 '1' to note it only if so much is left
-- Returns {1, or 0 when it was not noted; how far ahead of its time the use is by now (ms)}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local cost, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local ahead = math.max(tonumber(redis.call('GET', KEYS[1]) or now) - now, 0)
if ARGV[3] == '1' and ahead + cost > most then
  return {0, math.floor(ahead)}
end
-- Nobody waits for longer than what they may use ahead.
ahead = math.min(ahead + cost, 2 * most)
redis.call('SET', KEYS[1], string.format('%.0f', now + ahead), 'PX', math.floor(ahead) + 1)
return {1, math.floor(ahead)}
