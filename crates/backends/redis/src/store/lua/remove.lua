-- KEYS: entry, version counter. ARGV: version that must be there or '', hold in ms, what begins the keys of tags' sets, how long
-- they still know the key.
local entry = redis.call('GET', KEYS[1])
local what = kind(entry)
if what == 'V' and ARGV[1] ~= '' and version_of(entry) ~= ARGV[1] then return 'exists' end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], '\251H', 'PX', ARGV[2]) end
if what ~= 'V' then return 'missing' end
leave_tags(entry, KEYS[1], ARGV[3], ARGV[4])
return { next_version(KEYS[2], entry) }
