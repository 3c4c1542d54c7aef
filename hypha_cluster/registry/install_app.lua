-- Put a version of an app in its place, with its files; earlier versions stay, as many as there may be.
-- What is in a file is kept once, by its digest, whatever versions have it.
-- KEYS  1 apps of the workspace  2 what an app is made of  3 sizes of the apps of the workspace
-- ARGV  1 app  2 what is known of it  3 how many apps there may be  4 how many bytes all may have
--       5 how many versions are kept  6 number of the present version that it takes the place of, or ''
--       7 number of a version that it is again, or ''  8 name of this very call
--       9 bytes and digests of what it is made of: 'bytes:digest …'  10… digest, content, …
-- Returns 'installed' and the number of the version, or what is in the way: there are too many 'apps'
-- or 'bytes', it was 'changed' meanwhile, or the version is 'gone'
local apps, held, sizes = KEYS[1], KEYS[2], KEYS[3]
local known = redis.call('HMGET', held, 'present', 'oldest', 'call')
local present, oldest = tonumber(known[1] or 0), tonumber(known[2] or 1)
if known[3] == ARGV[8] then
  return {'installed', present} -- it was sent again, because its answer was lost
end
if ARGV[6] ~= '' and tonumber(ARGV[6]) ~= present then
  return {'changed', present}
end
if ARGV[7] ~= '' and redis.call('HEXISTS', held, 'version:' .. ARGV[7]) == 0 then
  return {'gone', present}
end
if present == 0 and redis.call('HLEN', apps) >= tonumber(ARGV[3]) then
  return {'apps', 0}
end
if redis.call('HGET', apps, ARGV[1]) == present .. ' ' .. ARGV[2]
    and redis.call('HGET', held, 'digests:' .. present) == ARGV[9] then
  return {'installed', present} -- it is the same again
end
local function add(digests, found)
  for bytes, digest in string.gmatch(digests, '(%d+):(%S*)') do
    found[digest] = tonumber(bytes)
  end
end
local function kept_from(first)
  local found = {}
  add(ARGV[9], found)
  for number = first, present do
    add(redis.call('HGET', held, 'digests:' .. number), found)
  end
  return found
end
local function size_of(found)
  local sum = 0
  for _, bytes in pairs(found) do
    sum = sum + bytes
  end
  return sum
end
local others = 0
local all = redis.call('HGETALL', sizes)
for i = 1, #all, 2 do
  if all[i] ~= ARGV[1] then
    others = others + all[i + 1]
  end
end
local first = math.max(oldest, present + 2 - ARGV[5])
local kept = kept_from(first)
while others + size_of(kept) > tonumber(ARGV[4]) and first <= present do
  first = first + 1
  kept = kept_from(first)
end
if others + size_of(kept) > tonumber(ARGV[4]) then
  return {'bytes', present}
end
for number = oldest, first - 1 do
  local digests = {}
  add(redis.call('HGET', held, 'digests:' .. number), digests)
  for digest in pairs(digests) do
    if not kept[digest] then
      redis.call('HDEL', held, 'content:' .. digest)
    end
  end
  redis.call('HDEL', held, 'version:' .. number, 'digests:' .. number, 'made:' .. number)
end
local time, number = redis.call('TIME'), present + 1
redis.call('HSET', held, 'present', number, 'oldest', first, 'call', ARGV[8],
  'version:' .. number, ARGV[2], 'digests:' .. number, ARGV[9], 'made:' .. number, time[1])
for i = 10, #ARGV, 2 do
  redis.call('HSET', held, 'content:' .. ARGV[i], ARGV[i + 1])
end
redis.call('HSET', apps, ARGV[1], number .. ' ' .. ARGV[2])
redis.call('HSET', sizes, ARGV[1], size_of(kept))
return {'installed', number}
