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
local letter = oldest and read(queue, oldest)
local age = letter and math.max(0, now - tonumber(letter.published)) or 0
local counts = call('HMGET', queue.at, 'published', 'delivered', 'acked', 'retried', 'dead_lettered', 'dropped', 'repeated',
  'dedup_forgotten')
local answer = { queue.settings, queue.paused and '1' or '0', text(call('ZCARD', queue.ready) + call('ZCARD', queue.lines)),
  text(call('HLEN', queue.tokens)), text(call('ZCARD', queue.later)), text(age) }
for number = 1, 8 do answer[#answer + 1] = counts[number] or '0' end
return answer
