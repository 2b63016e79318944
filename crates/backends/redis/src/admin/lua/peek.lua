-- ARGV: root, queue, fields of a fresh queue, wait of what is parked again, most messages, most bytes. Settings, then of each
-- ready message position, attempts before, published at, id, message, history.
local queue = find(ARGV[2])
if not queue then return 'missing' end
bring_up(queue, ARGV[3], ARGV[4])
local room, most, answer = tonumber(ARGV[6]), tonumber(ARGV[5]), { queue.settings }

-- False where there is no more room.
local function show(letter)
  room = room - #letter.message
  if room < 0 and #answer > 1 then return false end
  local tries = call('HGET', queue.tries, letter.position) or '0'
  answer[#answer + 1] = { letter.position, tries, letter.published, letter.id, letter.message, letter.history }
  return true
end

-- The next ones that are listed nowhere, before that place.
local behind, next_ones, at = cursor(queue), {}, 1
local function show_next(before)
  while #answer <= most do
    if at > #next_ones then
      next_ones, at = unread(queue, behind, 16), 1
      if #next_ones == 0 then return true end
      behind = tonumber(position_of(next_ones[#next_ones][1]))
    end
    local letter = letter_of(next_ones[at])
    if place(queue, 0, letter.position) > before then return true end
    if not show(letter) then return false end
    at = at + 1
  end
end

local ready = call('ZRANGEBYSCORE', queue.ready, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, most)
for number = 1, #ready, 2 do
  local position = ready[number]
  if not show_next(tonumber(ready[number + 1])) or #answer > most then return answer end
  local ends = call('ZSCORE', queue.ends, position)
  local letter = (not ends or tonumber(ends) > now) and read(queue, position)
  if letter and not show(letter) then return answer end
end
show_next(math.huge)
return answer
