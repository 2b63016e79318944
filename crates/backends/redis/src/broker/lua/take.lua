-- ARGV: root, queue, fields of a fresh queue, wait of what is parked again, most messages, hold in ms or '', token, consumer,
-- most bytes, most messages that are told. The settings; when something more is due, or -1; until when it is held; now; and
-- where there are messages the attempts before of each, and each as it lies in the stream, or its id where they are more than
-- are told: what a script tells costs the server many times what a command does. Nothing is taken of a queue that is paused.
local queue = find(ARGV[2])
if not queue then return 'missing' end
local is_behind = bring_up(queue, ARGV[3], ARGV[4])
local due = call('ZRANGE', queue.later, 0, 0, 'WITHSCORES')[2]
due = due and text(tonumber(due)) or '-1'
local held_until = text(now + (ARGV[6] == '' and queue.hold or tonumber(ARGV[6])))
local answer = { queue.settings, due, held_until, moment }
if is_behind then
  -- What is ready may have outlived its time: it is looked again at once.
  answer[2] = answer[4]
  return answer
end
if queue.paused then return answer end
local positions = call('ZRANGE', queue.ready, 0, ARGV[5] - 1)
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

local are_told = #positions <= tonumber(ARGV[10])
local claim = { 'XCLAIM', queue.stream, GROUP, ARGV[8], 0 }
local holds, tokens = { 'ZADD', root .. 'holds' }, { 'HSET', queue.tokens }
for number, position in ipairs(positions) do
  claim[number + 5] = position
  holds[number * 2 + 1], holds[number * 2 + 2] = held_until, member(queue, position)
  tokens[number * 2 + 1], tokens[number * 2 + 2] = position, ARGV[7]
end
claim[#claim + 1] = 'FORCE'
if not are_told then claim[#claim + 1] = 'JUSTID' end
local tries = call('HMGET', queue.tries, unpack(positions))
call('ZREM', queue.ready, unpack(positions))
local claimed = call(unpack(claim))
call(unpack(holds))
call(unpack(tokens))
count(queue, 'delivered', #claimed)

if #claimed == #positions then
  answer[5], answer[6] = tries, claimed
  return answer
end
local found, there, theirs = {}, {}, {}
for _, entry in ipairs(claimed) do found[string.match(are_told and entry[1] or entry, '^%d+')] = entry end
for number, position in ipairs(positions) do
  if found[position] then
    there[#there + 1] = found[position]
    theirs[#there] = tries[number]
  else
    -- Somebody removed it from the stream by hand.
    call('ZREM', root .. 'holds', member(queue, position))
    call('HDEL', queue.tokens, position)
    forget(queue, position)
  end
end
answer[5], answer[6] = theirs, there
return answer
