-- A queue is a stream with one consumer group, and what stands beside it. All keys begin with one root, whose hash tag keeps
-- them on one server of a cluster, so that each script is one step. A message is named by its position, a number that grows;
-- in a stream its id is 0-POSITION.
--   queue:NAME   hash: settings, what scripts need of them, counts; asleep: somebody waits and wants to be woken
--   stream:NAME  messages, oldest first: i id, m message, p published at; where one has any of them h history, e expires at,
--                c priority, k key. Of those that are listed nowhere below the group has yet to hand out what is behind its
--                last delivered id; what it has handed out, and that is its pending list, is held for the first time
--   door:NAME    the stream while commands behind a script, in one transaction with it, may add to it or read from it
--   rest:NAME    stream: messages that are not handed out in the order of the stream, and have left its positions empty
-- Listed are all of the rest, and those of the stream that were held before:
--   ready:NAME   sorted: positions to be handed out, by class and position
--   later:NAME   sorted: positions that wait for a moment
--   lines:NAME   sorted by name: positions behind another one of their key, which is in heads:NAME
--   tokens:NAME  hash: held position to the token of its hold; offered:NAME: those offered to the rules
--   about:NAME   hash: position to class and key, where it has one
--   tries:NAME   hash: position to the attempts that count
--   takes:NAME   sorted: from which moment on takes of the group hold, by when the first of them was; a thousand of a hold's length
--   large:NAME   hash: position to the size of a large message
--   ends:NAME    sorted: positions by the end of their life; ending: the names of queues by the first of these
--   marks:NAME   sorted: dedup ids by the end of the window
--   holds        sorted: POSITION:NAME by the end of the hold, of all listed
--   pending      sorted: the names of queues by the end of the oldest hold in the pending list, or a moment before it
--   names        set: the names of all queues
local root = ARGV[1]
local call = redis.call
local GROUP = 'forebay'
local CLASS = 17592186044416
-- The token of what is held for the first time.
local FIRST = '00000000'
-- A larger message is listed, with its size.
local LARGE = 16384
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local moment = string.format('%.0f', now)

-- While a slot moves from one server of a cluster to another, a script fails at the first key that is not here, be it gone
-- already or never there, and what it did before stays. So a key that is never there is asked for before anything is done.
if redis.pcall('EXISTS', root .. 'nothing') ~= 0 then
  return redis.error_reply('TRYAGAIN the slot of these keys is on its way to another server')
end

local function text(number) return string.format('%.0f', number) end

local function entry_of(position) return '0-' .. position end

local function position_of(entry) return string.sub(entry, 3) end

-- The key of what stands beside the hash of a queue is put together when it is asked for first.
local BESIDE = {
  __index = function(queue, word)
    local key = root .. word .. ':' .. queue.name
    queue[word] = key
    return key
  end,
}

local function find(name)
  local at = root .. 'queue:' .. name
  local field = call('HMGET', at, 'settings', 'order', 'classes', 'length', 'overflow', 'window', 'ttl', 'dead', 'hold', 'paused',
    'asleep', 'plain')
  if not field[1] then return end
  if not field[12] then error('queue ' .. name .. ' is of an older layout, which is not read any more') end
  return setmetatable({
    name = name, at = at, settings = field[1], by_key = field[2] == 'key', classes = tonumber(field[3]),
    length = tonumber(field[4]), drops = field[5] == 'drop', window = tonumber(field[6]), ttl = tonumber(field[7]),
    dead = field[8], hold = tonumber(field[9]), paused = field[10] == '1', asleep = field[11] == '1',
  }, BESIDE)
end

local function declare(name, fields)
  local at = root .. 'queue:' .. name
  for field, value in pairs(fields) do call('HSET', at, field, value) end
  -- It may be there, where somebody removed the hash by hand.
  redis.pcall('XGROUP', 'CREATE', root .. 'stream:' .. name, GROUP, '0', 'MKSTREAM')
  call('SADD', root .. 'names', name)
  return find(name)
end

local function count(queue, what, by) call('HINCRBY', queue.at, what, by) end

-- Whoever finds nothing and waits is told of the first that comes, and then takes until nothing is left.
local function wake(queue)
  if not queue.asleep or queue.paused then return end
  queue.asleep = false
  call('HDEL', queue.at, 'asleep')
  call('PUBLISH', root .. 'bell', queue.name)
end

local function member(queue, position) return position .. ':' .. queue.name end

local function place(queue, class, position) return (queue.classes - class) * CLASS + tonumber(position) end

-- Class and key of a message in the queue.
local function about(queue, position)
  if queue.classes == 0 and not queue.by_key then return 0, '' end
  local told = call('HGET', queue.about, position)
  if not told then return 0, '' end
  local class, key = string.match(told, '^(%d+):(.*)$')
  return tonumber(class), key
end

local function line_of(key) return string.format('%03d', #key) .. key end

-- It is to be handed out, as soon as no other one of its key stands before it.
local function arrive(queue, position)
  local class, key = about(queue, position)
  if queue.by_key and key ~= '' then
    local head = call('HGET', queue.heads, key)
    if head and head ~= position then
      call('ZADD', queue.lines, 0, line_of(key) .. string.rep('0', 16 - #position) .. position)
      return
    end
    call('HSET', queue.heads, key, position)
  end
  wake(queue)
  call('ZADD', queue.ready, place(queue, class, position), position)
end

-- The next of a key, if this was the head, may be handed out.
local function follow(queue, position, key)
  local line = line_of(key)
  if call('HGET', queue.heads, key) ~= position then
    call('ZREM', queue.lines, line .. string.rep('0', 16 - #position) .. position)
    return
  end
  call('HDEL', queue.heads, key)
  local following = call('ZRANGEBYLEX', queue.lines, '[' .. line, '(' .. line .. ':', 'LIMIT', 0, 1)[1]
  if following then
    call('ZREM', queue.lines, following)
    arrive(queue, text(tonumber(string.sub(following, #line + 1))))
  end
end

-- They are no more in the queue.
local function forget_all(queue, positions)
  local keys = {}
  if queue.by_key then
    for number, position in ipairs(positions) do
      local _, key = about(queue, position)
      keys[number] = key
    end
  end
  local entries = {}
  for number, position in ipairs(positions) do entries[number] = entry_of(position) end
  call('XDEL', queue.stream, unpack(entries))
  call('XDEL', queue.rest, unpack(entries))
  if queue.by_key or queue.classes > 0 then call('HDEL', queue.about, unpack(positions)) end
  call('HDEL', queue.tries, unpack(positions))
  call('HDEL', queue.large, unpack(positions))
  call('ZREM', queue.ends, unpack(positions))
  for number, key in ipairs(keys) do
    if key ~= '' then follow(queue, positions[number], key) end
  end
end

local function forget(queue, position) forget_all(queue, { position }) end

local function all(queue) return call('XLEN', queue.stream) + call('XLEN', queue.rest) end

local function held(queue) return call('HLEN', queue.tokens) + call('XPENDING', queue.stream, GROUP)[1] end

-- How many are in nobody's hands.
local function waiting(queue) return all(queue) - held(queue) end

local function has_room(queue, more)
  return all(queue) + more <= queue.length or waiting(queue) + more <= queue.length
end

-- Drops what the queue has ready beyond its length: the oldest of the least class first.
local function drop_beyond(queue)
  for _ = 1, waiting(queue) - call('ZCARD', queue.later) - queue.length do
    local last = call('ZRANGE', queue.ready, -1, -1, 'WITHSCORES')
    if not last[1] then return end
    local first = math.floor(tonumber(last[2]) / CLASS) * CLASS
    local oldest = call('ZRANGEBYSCORE', queue.ready, first, '+inf', 'LIMIT', 0, 1)[1]
    call('ZREM', queue.ready, oldest)
    forget(queue, oldest)
    count(queue, 'dropped', 1)
  end
end

-- The place behind all that is there. Nothing is left at it in the stream.
local function next_position(queue)
  local entry = call('XADD', queue.stream, '0-*', 's', '')
  call('XDEL', queue.stream, entry)
  return position_of(entry)
end

-- Takes a message into the queue, to be handed out at a moment, or at once.
local function enter(queue, id, message, history, expires, priority, key, at)
  local class, in_line = math.min(priority, queue.classes), queue.by_key and key ~= ''
  if queue.ttl >= 0 and (expires == 0 or expires > now + queue.ttl) then expires = now + queue.ttl end
  local is_listed = at or expires > 0 or class > 0 or in_line or queue.drops or #message > LARGE
  local into = is_listed and next_position(queue)
  local stream, entry = is_listed and queue.rest or queue.stream, is_listed and entry_of(into) or '0-*'
  if history == '' and expires == 0 and priority == 0 and key == '' then
    call('XADD', stream, entry, 'i', id, 'm', message, 'p', moment)
  else
    call('XADD', stream, entry, 'i', id, 'm', message, 'p', moment, 'h', history, 'e', text(expires), 'c', text(priority), 'k',
      key)
  end
  if not is_listed then return wake(queue) end
  if class > 0 or in_line then
    call('HSET', queue.about, into, text(class) .. ':' .. (queue.by_key and key or ''))
  end
  if expires > 0 then
    call('ZADD', queue.ends, expires, into)
    call('ZADD', root .. 'ending', 'LT', expires, queue.name)
  end
  if #message > LARGE then call('HSET', queue.large, into, #message) end
  if at then
    call('ZADD', queue.later, at, into)
    -- Who waits looks when the next delayed one is due, which may be sooner now.
    wake(queue)
  else
    arrive(queue, into)
  end
end

-- An entry of a stream as a message. It may be damaged, and is moved and shown all the same.
local function letter_of(entry)
  local field, position = {}, position_of(entry[1])
  for at = 1, #entry[2], 2 do field[entry[2][at]] = entry[2][at + 1] end
  return {
    position = position, id = field.i or position, message = field.m or '', history = field.h or '', published = field.p or '0',
    expires = tonumber(field.e) or 0, priority = tonumber(field.c) or 0, key = field.k or '',
  }
end

-- How it lies in either stream.
local function look_up(queue, position)
  local entry = entry_of(position)
  return call('XRANGE', queue.rest, entry, entry)[1] or call('XRANGE', queue.stream, entry, entry)[1]
end

local function read(queue, position)
  local found = look_up(queue, position)
  return found and letter_of(found)
end

local function lines(history)
  local can_be_read, lines = pcall(cjson.decode, history)
  return can_be_read and type(lines) == 'table' and lines or {}
end

-- The position that the group has handed out last.
local function cursor(queue)
  for _, group in ipairs(call('XINFO', 'GROUPS', queue.stream)) do
    local about = {}
    for at = 1, #group, 2 do about[group[at]] = group[at + 1] end
    if about.name == GROUP then return tonumber(position_of(about['last-delivered-id'])) end
  end
  error('the consumer group of queue ' .. queue.name .. ' is gone')
end

-- Entries of the stream that the group has yet to hand out, behind that position.
local function unread(queue, behind, most)
  return call('XRANGE', queue.stream, '(' .. entry_of(text(behind)), '+', 'COUNT', most)
end

-- Lists the next so many that the group has yet to hand out.
local function list(queue, most)
  local read = call('XREADGROUP', 'GROUP', GROUP, GROUP, 'COUNT', most, 'NOACK', 'STREAMS', queue.stream, '>')
  if not read then return end
  local places = {}
  for _, entry in ipairs(read[1][2]) do
    local position = position_of(entry[1])
    places[#places + 1] = place(queue, 0, position)
    places[#places + 1] = position
  end
  if #places > 0 then call('ZADD', queue.ready, unpack(places)) end
end

-- What is held for the first time from one entry to another, and until when. The server tells how long ago it was handed out, by a
-- clock that goes on, which is the moment of a take or a little later.
local function pending(queue, first, last, most)
  local found, before, after
  for _ = 1, 10 do
    before = call('TIME')
    found = call('XPENDING', queue.stream, GROUP, first, last, most)
    after = call('TIME')
    if before[1] == after[1] and math.floor(before[2] / 1000) == math.floor(after[2] / 1000) then break end
  end
  local moment = after[1] * 1000 + math.floor(after[2] / 1000)
  for number, one in ipairs(found) do
    local handed_out = moment - one[3]
    local from = call('ZREVRANGEBYSCORE', queue.takes, text(handed_out), '-inf', 'LIMIT', 0, 1)[1]
    found[number] = { position = position_of(one[1]), from = tonumber(from) or handed_out }
    found[number].held_until = found[number].from + queue.hold
  end
  return found
end

-- Lists one that is held for the first time, as held until then.
local function list_held(queue, position, until_when)
  if call('XACK', queue.stream, GROUP, entry_of(position)) == 1 then count(queue, 'delivered', 1) end
  call('HSET', queue.tokens, position, FIRST)
  call('ZADD', root .. 'holds', until_when, member(queue, position))
end

-- Ends the hold with this token. False: it is not held under it.
local function release(queue, position, token)
  local stored = call('HGET', queue.tokens, position)
  if stored then
    if stored ~= token then return false end
    call('HDEL', queue.tokens, position)
    call('HDEL', queue.offered, position)
    call('ZREM', root .. 'holds', member(queue, position))
    return true
  end
  if token ~= FIRST or call('XACK', queue.stream, GROUP, entry_of(position)) == 0 then return false end
  count(queue, 'delivered', 1)
  return true
end
