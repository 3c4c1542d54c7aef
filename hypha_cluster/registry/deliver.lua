-- Hand a frame to whoever a client is attached to; put it into the mailbox of a suspended one.
-- One script, so that a frame never overtakes another one of the same sender.
-- KEYS  1 client  2 mail  3 size of the mail
-- ARGV  1 channel  2 frame  3 bytes a mailbox may have  4 frames a mailbox may have  5 expiry (ms)
--       6 '1' for a call, whose sender can be told; '0' for anything else
--       7 when the sender gives up, by the clock of this server (ms)
-- Returns the number of takers, 0 when there is no such client, -1 for mail, -2 for a full mailbox,
-- -3 when it is too late: the sender's caller has been told that the frame could not be delivered,
-- -4 for a call to a client that has been suspended for too long (it is away), -5 for mail to one
-- that is online and should have heard it
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
if now > tonumber(ARGV[7]) then
  return -3
end
local takers = redis.call('SPUBLISH', ARGV[1], ARGV[2])
if takers > 0 then
  return takers
end
local client = redis.call('HMGET', KEYS[1], 'state', 'away_after')
if not client[1] then
  return 0
end
if ARGV[6] == '1' and client[1] == 'suspended' and now > tonumber(client[2]) then
  return -4
end
local size = tonumber(redis.call('GET', KEYS[3]) or 0) + #ARGV[2]
if size > tonumber(ARGV[3]) or redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[4]) then
  return -2
end
redis.call('RPUSH', KEYS[2], ARGV[6] .. ARGV[2])
redis.call('SET', KEYS[3], size, 'PX', ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return client[1] == 'online' and -5 or -1
