-- Change settings of a workspace, if nobody else has changed them meanwhile.
-- KEYS  1 workspace
-- ARGV  setting, value before or '' when it was not kept, new value, …
-- Returns 1, or 0 when it has to be read again
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
for i = 1, #ARGV, 3 do
  local value = redis.call('HGET', KEYS[1], ARGV[i]) or ''
  if value ~= ARGV[i + 1] and value ~= ARGV[i + 2] then
    return 0
  end
end
for i = 1, #ARGV, 3 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
end
if redis.call('HGET', KEYS[1], 'persistent') == 'true' then
  redis.call('PERSIST', KEYS[1])
end
return 1
