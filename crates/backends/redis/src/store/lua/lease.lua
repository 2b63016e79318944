-- KEYS: entry. ARGV: token, life of the lease in ms. The entry; or 0: busy; or the history: granted.
local entry = redis.call('GET', KEYS[1])
local what = kind(entry)
if what == 'V' then return { entry } end
if what then return 0 end
local granted_in = history()
redis.call('SET', KEYS[1], '\251L' .. ARGV[1] .. granted_in, 'PX', ARGV[2])
return granted_in
