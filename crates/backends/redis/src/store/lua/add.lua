-- KEYS: entry, version counter. ARGV: up or down, delta, number to create with or '', its life.
-- A number is two halves in base 10^10: Lua's numbers are exact up to 2^53 only.
local BASE = 10000000000
local function split(text)
  if not string.match(text, '^%d+$') or #text > 20 then return end
  local padded = string.rep('0', 20 - #text) .. text
  return tonumber(string.sub(padded, 1, 10)), tonumber(string.sub(padded, 11))
end
local function over(high, low) return high > 1844674407 or (high == 1844674407 and low > 3709551615) end
local function join(high, low)
  if high == 0 then return string.format('%.0f', low) end
  return string.format('%.0f%010.0f', high, low)
end

local entry = redis.call('GET', KEYS[1])
if kind(entry) ~= 'V' then
  if ARGV[3] == '' then
    if kind(entry) == 'L' then redis.call('DEL', KEYS[1]) end
    return 'missing'
  end
  local version = next_version(KEYS[2], entry)
  put(KEYS[1], '\251V\0\0\0\0' .. version .. present .. '\0' .. ARGV[3], ARGV[4])
  return { ARGV[3] }
end
local at = read_tags(entry)
local high, low = split(string.sub(entry, at))
if not high or over(high, low) then return 'not a number' end
local by_high, by_low = split(ARGV[2])
if ARGV[1] == 'up' then
  high, low = high + by_high, low + by_low
  if low >= BASE then high, low = high + 1, low - BASE end
  if over(high, low) then
    high, low = high - 1844674407, low - 3709551616
    if low < 0 then high, low = high - 1, low + BASE end
  end
else
  high, low = high - by_high, low - by_low
  if low < 0 then high, low = high - 1, low + BASE end
  if high < 0 then high, low = 0, 0 end
end
local number = join(high, low)
local version = next_version(KEYS[2], entry)
redis.call('SET', KEYS[1], string.sub(entry, 1, 6) .. version .. string.sub(entry, 15, at - 1) .. number, 'KEEPTTL')
return { number }
