-- ARGV: root, queue, fields of a fresh queue, wait of what is parked again, most messages, hold in ms or '', or 'own'
-- for the queue's without the door, token, 1 to be
-- woken when something comes or '', most bytes, most messages that are told. The settings; when something more is due, or -1;
-- until when it is held; now; and where messages are taken the attempts before of each, and each as it lies in its stream, or
-- its position where they are more than are told: what a script tells costs the server many times what a command does.
-- Where nothing is listed as ready the door is opened, for a command behind this to read what is next.
local queue = find(ARGV[2])
if not queue then return 'missing' end
local most = tonumber(ARGV[5])
local is_behind = bring_up(queue, ARGV[3], ARGV[4])
local due = call('ZRANGE', queue.later, 0, 0, 'WITHSCORES')[2]
due = due and text(tonumber(due)) or '-1'
local held_until = now + (tonumber(ARGV[6]) or queue.hold)
local answer = { queue.settings, due, text(held_until), moment }
if ARGV[8] == '1' and not queue.asleep then
  queue.asleep = true
  call('HSET', queue.at, 'asleep', '1')
end
if is_behind then
  -- What is ready may have outlived its time: it is looked again at once.
  answer[2] = answer[4]
  return answer
end
if queue.paused then return answer end
local positions = call('ZRANGE', queue.ready, 0, most - 1)
if #positions == 0 and ARGV[6] == '' then
  local step = math.max(1, math.floor(queue.hold / 1024))
  local from = math.ceil(now / step) * step
  answer[3] = text(from + queue.hold)
  call('ZADD', queue.takes, 'NX', now, text(from))
  call('ZADD', root .. 'pending', 'NX', answer[3], queue.name)
  call('RENAME', queue.stream, root .. 'door:' .. queue.name)
  return answer
end
-- What is handed out beside what is listed is listed, and so is what has a hold of another length. Where what is ready came after
-- what is not listed, that is handed out before it.
local lacking, last = most - #positions, positions[#positions]
if last and about(queue, last) == 0 and tonumber(last) > cursor(queue) then lacking = most end
if lacking > 0 then
  list(queue, lacking)
  positions = call('ZRANGE', queue.ready, 0, most - 1)
end
if #positions == 0 then return answer end

if call('EXISTS', queue.large) == 1 then
  local room, sizes = tonumber(ARGV[9]), call('HMGET', queue.large, unpack(positions))
  for number = 1, #positions do
    room = room - tonumber(sizes[number] or 4096)
    if room < 0 and number > 1 then
      for surplus = #positions, number, -1 do positions[surplus] = nil end
      -- The others are handed out at once.
      answer[2] = answer[4]
      break
    end
  end
end

local told = positions
if #positions <= tonumber(ARGV[10]) then
  local there = {}
  told = {}
  for _, position in ipairs(positions) do
    local found = look_up(queue, position)
    if found then
      there[#there + 1], told[#told + 1] = position, found
    else
      -- Somebody removed it by hand.
      call('ZREM', queue.ready, position)
      forget(queue, position)
    end
  end
  positions = there
  if #positions == 0 then return answer end
end
local holds, tokens = { 'ZADD', root .. 'holds' }, { 'HSET', queue.tokens }
for number, position in ipairs(positions) do
  holds[number * 2 + 1], holds[number * 2 + 2] = answer[3], member(queue, position)
  tokens[number * 2 + 1], tokens[number * 2 + 2] = position, ARGV[7]
end
answer[5], answer[6] = call('HMGET', queue.tries, unpack(positions)), told
call('ZREM', queue.ready, unpack(positions))
call(unpack(holds))
call(unpack(tokens))
count(queue, 'delivered', #positions)
return answer
