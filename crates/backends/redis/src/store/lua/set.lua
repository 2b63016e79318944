-- A write without conditions, with an end of its life or none: what `put.lua` does, in fewer steps where no tags are to be left.
-- KEYS: entry, version counter. ARGV: flags, life, value, what begins the keys of tags' sets, how long they still know the key.
local time = redis.call('TIME')
local number = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('SET', KEYS[2], string.format('%.0f', number), 'GET') or '0')
if number <= last then
  number = last + 1
  redis.call('SET', KEYS[2], string.format('%.0f', number))
end
local version = struct.pack('>I4I4', math.floor(number / 4294967296), number % 4294967296)
local written, before = '\251V' .. ARGV[1] .. version .. '\0' .. ARGV[3], nil
if ARGV[2] == '' then
  before = redis.call('SET', KEYS[1], written, 'GET')
else
  before = redis.call('SET', KEYS[1], written, 'PX', ARGV[2], 'GET')
end
if not before or string.sub(before, 1, 2) ~= '\251V' or string.byte(before, 15) == 0 then return { version } end
