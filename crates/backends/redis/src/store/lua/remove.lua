-- KEYS: entry, version counter. ARGV: version that must be there or '', hold in ms.
local entry = redis.call('GET', KEYS[1])
local what = kind(entry)
if what == 'V' and ARGV[1] ~= '' and version_of(entry) ~= ARGV[1] then return 'exists' end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], '\251H', 'PX', ARGV[2]) end
if what ~= 'V' then return 'missing' end
return { next_version(KEYS[2], entry) }
