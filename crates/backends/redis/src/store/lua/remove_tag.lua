-- KEYS: the tag's set. ARGV: tag, most entries to look at. How many there were, and how many were looked at.
local keys = redis.call('ZRANGE', KEYS[1], 0, ARGV[2] - 1)
local removed = 0
for _, key in ipairs(keys) do
  local entry = redis.call('GET', key)
  local what = kind(entry)
  -- What is a value of another history here others may still read, and its key is not known afterwards.
  local is_foreign = not what and entry and string.sub(entry, 1, 2) == '\251V'
  if what == 'L' or is_foreign then
    redis.call('DEL', key)
  elseif what == 'V' then
    local _, tags = read_tags(entry)
    for _, tag in ipairs(tags) do
      if tag == ARGV[1] then
        redis.call('DEL', key)
        removed = removed + 1
        break
      end
    end
  end
  redis.call('ZREM', KEYS[1], key)
end
return { removed, #keys }
