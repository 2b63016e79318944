-- KEYS: entry. ARGV: token, life of the lease in ms. The entry; or 0: busy; or the history: granted.
local entry = redis.call('GET', KEYS[1])
local what = kind(entry)
if what == 'V' then return { entry } end
local granted_in = history()
-- A lease of another history cannot be filled any more: nobody is to wait for its end.
if what == 'H' or what == 'L' and string.sub(entry, 11) == granted_in then return 0 end
redis.call('SET', KEYS[1], '\251L' .. ARGV[1] .. granted_in, 'PX', ARGV[2])
return granted_in
