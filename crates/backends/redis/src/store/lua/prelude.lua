-- An entry is a string: a magic byte, then one that says what it is.
--   V  a value: flags (4 bytes), version (8), history that it was written in (4), number of tags (1), each tag with its length (1),
--      then the bytes
--   L  a lease: its token (8), then the server's own history when it was granted, and that of values
--   H  a hold after an invalidation
-- Behind its own ARGV every script has the history that values are of; one of another history is as good as none.
local present = ARGV[#ARGV]

local function kind(entry)
  if not entry or string.byte(entry, 1) ~= 251 then return end
  local what = string.sub(entry, 2, 2)
  if what ~= 'V' or string.sub(entry, 15, 18) == present then return what end
end

-- Changes with every start of the server, when it is made a master, and when its sentinels say so anew: what an invalidation that
-- was lost then should have voided is void all the same.
local function history()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') .. present
end

local function version_of(entry) return string.sub(entry, 7, 14) end

-- Microseconds, or one more than the last: it only grows, also after all was lost. What a plain write has given an entry for a
-- version is random and above all these (see `entry.rs`); it is nothing to grow over.
local function next_version(key, entry)
  local time = redis.call('TIME')
  local version = time[1] * 1000000 + time[2]
  local last = 0
  if key then
    last = tonumber(redis.call('GET', key) or '0')
  elseif kind(entry) == 'V' then
    local high, low = struct.unpack('>I4I4', version_of(entry))
    if high < 536870912 then last = high * 4294967296 + low end
  end
  if version <= last then version = last + 1 end
  if key then redis.call('SET', key, string.format('%.0f', version)) end
  return struct.pack('>I4I4', math.floor(version / 4294967296), version % 4294967296)
end

-- A life is in milliseconds; '' has no end, and '0' is over at once.
local function put(key, entry, life)
  if life == '' then
    redis.call('SET', key, entry)
  elseif life == '0' then
    redis.call('DEL', key)
  else
    redis.call('SET', key, entry, 'PX', life)
  end
end

-- Where the bytes begin, and the tags.
local function read_tags(entry)
  local at, tags = 20, {}
  for number = 1, string.byte(entry, 19) do
    local length = string.byte(entry, at)
    tags[number] = string.sub(entry, at + 1, at + length)
    at = at + 1 + length
  end
  return at, tags
end

-- Notes in the tag's set when the entry ends, and lets the set live as long as the longest of its entries.
local function note_tag(tag_key, key, life)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('ZREMRANGEBYSCORE', tag_key, '-inf', now - 1)
  redis.call('ZADD', tag_key, life == '' and '+inf' or now + tonumber(life) + 1, key)
  local last = redis.call('ZRANGE', tag_key, -1, -1, 'WITHSCORES')[2]
  if last == 'inf' then
    redis.call('PERSIST', tag_key)
  else
    redis.call('PEXPIREAT', tag_key, string.format('%.0f', tonumber(last) + 1000))
  end
end

-- The entry is gone before its time. Its tags know its key a while longer, for a lease of it that goes with them.
local function leave_tags(entry, key, tags_begin, life)
  local _, tags = read_tags(entry)
  for _, tag in ipairs(tags) do note_tag(tags_begin .. tag, key, life) end
end

