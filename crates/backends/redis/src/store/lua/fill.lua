-- KEYS: entry, version counter (or ''), tags' sets. ARGV: token, flags, life, tags as in the entry, value.
local entry = redis.call('GET', KEYS[1])
if entry ~= '\251L' .. ARGV[1] .. history() then return 0 end
local version = next_version(KEYS[2], entry)
put(KEYS[1], '\251V' .. ARGV[2] .. version .. present .. ARGV[4] .. ARGV[5], ARGV[3])
for number = 3, #KEYS do note_tag(KEYS[number], KEYS[1], ARGV[3]) end
return version
