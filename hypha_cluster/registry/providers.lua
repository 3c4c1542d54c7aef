-- Find who offers a service of a name, some of them when they are many.
-- KEYS  1 providers of the service  2 services of the workspace
-- ARGV  1 service id  2 key of a client, without the client id  3 how many at the most
-- Returns {client id, state, info, …}
local answer = {}
for _, client in ipairs(redis.call('SRANDMEMBER', KEYS[1], ARGV[3])) do
  local info = redis.call('HGET', KEYS[2], client .. ':' .. ARGV[1])
  local state = redis.call('HGET', ARGV[2] .. client, 'state')
  if info and state then
    answer[#answer + 1] = client
    answer[#answer + 1] = state
    answer[#answer + 1] = info
  end
end
return answer
