-- KEYS: entry. ARGV: life, what begins the keys of tags' sets.
local entry = redis.call('GET', KEYS[1])
if kind(entry) ~= 'V' then
  -- What is a value of another history here others may still read: its life is over for them, too.
  if ARGV[1] == '0' and entry and string.sub(entry, 1, 2) == '\251V' then redis.call('DEL', KEYS[1]) end
  return 0
end
-- A life of 0 is over at once: the entry is gone.
if ARGV[1] == '' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
local _, tags = read_tags(entry)
for _, tag in ipairs(tags) do note_tag(ARGV[2] .. tag, KEYS[1], ARGV[1]) end
return 1
