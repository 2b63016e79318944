-- ARGV: root, queue, fields of a fresh queue, wait of what is parked again, most messages, most bytes. Settings, then of each
-- ready message position, attempts before, published at, id, message, history.
local queue = find(ARGV[2])
if not queue then return 'missing' end
bring_up(queue, ARGV[3], ARGV[4])
local room, answer = tonumber(ARGV[6]), { queue.settings }
for _, position in ipairs(call('ZRANGEBYSCORE', queue.ready, '-inf', '+inf', 'LIMIT', 0, ARGV[5])) do
  local ends = call('ZSCORE', queue.ends, position)
  local letter = (not ends or tonumber(ends) > now) and read(queue, position)
  if letter then
    room = room - #letter.message
    if room < 0 and #answer > 1 then break end
    local tries = call('HGET', queue.tries, position) or '0'
    answer[#answer + 1] = { position, tries, letter.published, letter.id, letter.message, letter.history }
  end
end
return answer
