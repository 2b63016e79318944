-- ARGV: root, grace in ms, most deliveries, most bytes. When the next hold ends, or -1; then of each hold that has run out
-- queue, settings, position, token, attempts before, the end of the hold, published at, id, message, history.
local room, answer = tonumber(ARGV[4]), {}
local over = call('ZRANGEBYSCORE', root .. 'holds', '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for number = 1, #over, 2 do
  local position, name = string.match(over[number], '^(%d+):(.*)$')
  local queue = position and find(name)
  local token = queue and call('HGET', queue.tokens, position)
  local letter = token and read(queue, position)
  if letter then
    room = room - #letter.message
    if room < 0 and #answer > 0 then break end
    call('ZADD', root .. 'holds', now + tonumber(ARGV[2]), over[number])
    call('HSET', queue.offered, position, '1')
    local tries = call('HGET', queue.tries, position) or '0'
    answer[#answer + 1] = { name, queue.settings, position, token, tries, text(tonumber(over[number + 1])),
      letter.published, letter.id, letter.message, letter.history }
  else
    call('ZREM', root .. 'holds', over[number])
    if token then
      call('HDEL', queue.tokens, position)
      forget(queue, position)
    end
  end
end
local soonest = call('ZRANGE', root .. 'holds', 0, 0, 'WITHSCORES')[2]
return { text(now), soonest and text(tonumber(soonest)) or '-1', answer }
