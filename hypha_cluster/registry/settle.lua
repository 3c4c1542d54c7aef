-- Compare what the public listing has just been made to say of services with what the workspace says;
-- those about which it is right are settled.
-- KEYS  1 public services of a client  2 services of the workspace
--       3 services of the client that are to be settled
-- ARGV  1 client id  2… service id, info as it is listed, or '' when it is not
-- Returns {service id, info as it should be listed or '', …} of those that are not right
local answer = {}
for i = 2, #ARGV, 2 do
  local service, should_be = ARGV[i], ''
  if redis.call('SISMEMBER', KEYS[1], service) == 1 then
    should_be = redis.call('HGET', KEYS[2], ARGV[1] .. ':' .. service) or ''
  end
  if should_be == ARGV[i + 1] then
    redis.call('SREM', KEYS[3], service)
  else
    answer[#answer + 1] = service
    answer[#answer + 1] = should_be
  end
end
return answer
