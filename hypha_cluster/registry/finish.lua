-- Departures of a client are finished: forget the notes of them.
-- KEYS  1 departures of the client that are to be finished  2 workspace
-- ARGV  holders
-- Returns 1 when there is the workspace
redis.call('HDEL', KEYS[1], unpack(ARGV))
return redis.call('EXISTS', KEYS[2])
