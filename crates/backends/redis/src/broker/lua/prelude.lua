-- A queue is a stream with one consumer group, and what stands beside it. All keys begin with one root, whose hash tag keeps
-- them on one server of a cluster, so that each script is one step. A message is named by its position, a number that grows.
--   queue:NAME   hash: settings, what scripts need of them, counts, the newest position
--   stream:NAME  the messages: i id, m message, h history, p published at; where one has any of them e expires at,
--                c priority, k key. Of the group's pending list: exactly what is held
--   ready:NAME   sorted: positions to be handed out, by class and position
--   later:NAME   sorted: positions that wait for a moment
--   lines:NAME   sorted by name: positions behind another one of their key, which is in heads:NAME
--   about:NAME   hash: position to class and key, where it has one
--   tokens:NAME  hash: held position to the token of its hold; offered:NAME: those offered to the rules
--   tries:NAME   hash: position to the attempts that count
--   large:NAME   hash: position to the size of a large message
--   ends:NAME    sorted: positions by the end of their life; ending: the names of queues by the first of these
--   marks:NAME   sorted: dedup ids by the end of the window
--   holds        sorted: POSITION:NAME by the end of the hold, of all queues
--   names        set: the names of all queues
local root = ARGV[1]
local call = redis.call
local GROUP = 'forebay'
local CLASS = 17592186044416
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local moment = string.format('%.0f', now)

-- While a slot moves from one server of a cluster to another, a script fails at the first key that is not here, be it gone
-- already or never there, and what it did before stays. So a key that is never there is asked for before anything is done.
if redis.pcall('EXISTS', root .. 'nothing') ~= 0 then
  return redis.error_reply('TRYAGAIN the slot of these keys is on its way to another server')
end

local function text(number) return string.format('%.0f', number) end

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
  local field = call('HMGET', at, 'settings', 'order', 'classes', 'length', 'overflow', 'window', 'ttl', 'dead', 'hold', 'paused')
  if not field[1] then return end
  return setmetatable({
    name = name, at = at, settings = field[1], by_key = field[2] == 'key', classes = tonumber(field[3]),
    length = tonumber(field[4]), drops = field[5] == 'drop', window = tonumber(field[6]), ttl = tonumber(field[7]),
    dead = field[8], hold = tonumber(field[9]), paused = field[10] == '1',
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

local rung = {}
local function wake(queue)
  if rung[queue.name] or queue.paused then return end
  rung[queue.name] = true
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
  -- Who still waits has found nothing more here: so it is told of the first that comes, and then takes until nothing is left.
  if call('ZCARD', queue.ready) == 0 then wake(queue) end
  call('ZADD', queue.ready, place(queue, class, position), position)
end

-- The same for many whose class and key are none, told as ZADD takes them: place, position.
local function arrive_all(queue, places)
  if #places == 0 then return end
  if call('ZCARD', queue.ready) == 0 then wake(queue) end
  call('ZADD', queue.ready, unpack(places))
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
  call('XDEL', queue.stream, unpack(positions))
  if queue.by_key or queue.classes > 0 then call('HDEL', queue.about, unpack(positions)) end
  call('HDEL', queue.tries, unpack(positions))
  call('HDEL', queue.large, unpack(positions))
  call('ZREM', queue.ends, unpack(positions))
  for number, key in ipairs(keys) do
    if key ~= '' then follow(queue, positions[number], key) end
  end
end

local function forget(queue, position) forget_all(queue, { position }) end

-- How many are in nobody's hands.
local function waiting(queue) return call('XLEN', queue.stream) - call('HLEN', queue.tokens) end

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

-- Takes a message into the queue, where it is not yet to be handed out.
local function take_in(queue, position, id, message, history, expires, priority, key)
  if expires == 0 and priority == 0 and key == '' then
    call('XADD', queue.stream, position .. '-0', 'i', id, 'm', message, 'h', history, 'p', moment)
  else
    call('XADD', queue.stream, position .. '-0', 'i', id, 'm', message, 'h', history, 'p', moment, 'e', text(expires),
      'c', text(priority), 'k', key)
  end
  local class = math.min(priority, queue.classes)
  if class > 0 or (queue.by_key and key ~= '') then
    call('HSET', queue.about, position, text(class) .. ':' .. (queue.by_key and key or ''))
  end
  if queue.ttl >= 0 and (expires == 0 or expires > now + queue.ttl) then expires = now + queue.ttl end
  if expires > 0 then
    call('ZADD', queue.ends, expires, position)
    call('ZADD', root .. 'ending', 'LT', expires, queue.name)
  end
  if #message > 4096 then call('HSET', queue.large, position, #message) end
end

local function read(queue, position)
  local found = call('XRANGE', queue.stream, position, position)[1]
  if not found then return end
  local field = found[2]
  -- It may be damaged, and is moved and shown all the same.
  return {
    id = field[2] or position, message = field[4] or '', history = field[6] or '', published = field[8] or '0',
    expires = tonumber(field[10]) or 0, priority = tonumber(field[12]) or 0, key = field[14] or '',
  }
end

local function lines(history)
  local can_be_read, lines = pcall(cjson.decode, history)
  return can_be_read and type(lines) == 'table' and lines or {}
end

local function next_position(queue) return text(call('HINCRBY', queue.at, 'position', 1)) end

