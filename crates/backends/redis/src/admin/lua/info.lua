-- ARGV: root, queue, fields of a fresh queue, wait of what is parked again. Settings, whether paused, ready, held, delayed,
-- age of the oldest ready one, then the counts.
local queue = find(ARGV[2])
if not queue then return 'missing' end
bring_up(queue, ARGV[3], ARGV[4])
-- The oldest is the first of its class.
local oldest, from = nil, '-inf'
while true do
  local first = call('ZRANGEBYSCORE', queue.ready, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not first[1] then break end
  if not oldest or tonumber(first[1]) < tonumber(oldest) then oldest = first[1] end
  from = (math.floor(tonumber(first[2]) / CLASS) + 1) * CLASS
end
local next_one = unread(queue, cursor(queue), 1)[1]
if next_one and (not oldest or tonumber(position_of(next_one[1])) < tonumber(oldest)) then oldest = position_of(next_one[1]) end
local letter = oldest and read(queue, oldest)
local age = letter and math.max(0, now - tonumber(letter.published)) or 0
local counts = call('HMGET', queue.at, 'published', 'delivered', 'acked', 'retried', 'dead_lettered', 'dropped', 'repeated',
  'dedup_forgotten')
local first, delayed = call('XPENDING', queue.stream, GROUP)[1], call('ZCARD', queue.later)
-- What is held for the first time is counted as delivered when that ends.
counts[2] = text(tonumber(counts[2] or '0') + first)
local answer = { queue.settings, queue.paused and '1' or '0', text(waiting(queue) - delayed), text(held(queue)), text(delayed),
  text(age) }
for number = 1, 8 do answer[#answer + 1] = counts[number] or '0' end
return answer
