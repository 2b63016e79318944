-- Behind a plain write: the tags of the entry that was there know its key a while longer, for a lease of it that goes with them.
-- It may have been filled with one of them again since, and then that knows it as long as it lives.
-- KEYS: entry, tags' sets. ARGV: how long they still know the key, then each set's tag.
local entry = redis.call('GETRANGE', KEYS[1], 0, 65535)
local has = {}
if kind(entry) == 'V' then
  local _, tags = read_tags(entry)
  for _, tag in ipairs(tags) do has[tag] = true end
end
for number = 2, #KEYS do
  if not has[ARGV[number]] then note_tag(KEYS[number], KEYS[1], ARGV[1]) end
end
return 1
