-- KEYS: entry, version counter. ARGV: mode, flags, life, version that must be there or '', value, what begins the keys of
-- tags' sets, how long they still know the key, the longest value.
local entry = redis.call('GET', KEYS[1])
local there = kind(entry) == 'V'
if ARGV[4] ~= '' then
  if not there then
    if kind(entry) == 'L' then redis.call('DEL', KEYS[1]) end
    return 'missing'
  end
  if version_of(entry) ~= ARGV[4] then return 'exists' end
end
if (ARGV[1] == 'add' and there) or (ARGV[1] == 'replace' and not there) then return 'refused' end
if ARGV[1] == 'append' or ARGV[1] == 'prepend' then
  if not there then return 'refused' end
  local at = read_tags(entry)
  local value = string.sub(entry, at)
  if #value + #ARGV[5] > tonumber(ARGV[8]) then return 'refused' end
  if ARGV[1] == 'append' then value = value .. ARGV[5] else value = ARGV[5] .. value end
  local version = next_version(KEYS[2], entry)
  redis.call('SET', KEYS[1], string.sub(entry, 1, 6) .. version .. string.sub(entry, 15, at - 1) .. value, 'KEEPTTL')
  return { version }
end
local version = next_version(KEYS[2], entry)
put(KEYS[1], '\251V' .. ARGV[2] .. version .. present .. '\0' .. ARGV[5], ARGV[3])
if there then leave_tags(entry, KEYS[1], ARGV[6], ARGV[7]) end
return { version }
