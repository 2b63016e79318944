-- ARGV: root, grace in ms, most deliveries, most bytes. When the next hold ends, or -1; then of each hold that has run out
-- queue, settings, position, token, attempts before, the end of the hold, published at, id, message, history.
-- Of what is held for the first time the oldest hold runs out first: all of a queue have one length.
for _, name in ipairs(call('ZRANGEBYSCORE', root .. 'pending', '-inf', now, 'LIMIT', 0, ARGV[3])) do
  local queue, soonest = find(name), nil
  local held = queue and pending(queue, '-', '+', ARGV[3]) or {}
  for _, one in ipairs(held) do
    if one.held_until > now then
      soonest = one.held_until
      call('ZREMRANGEBYSCORE', queue.takes, '-inf', '(' .. (call('ZSCORE', queue.takes, text(one.from)) or '0'))
      break
    end
    list_held(queue, one.position, one.held_until)
  end
  if not soonest and #held == tonumber(ARGV[3]) then soonest = now end
  if soonest then
    call('ZADD', root .. 'pending', soonest, name)
  else
    call('ZREM', root .. 'pending', name)
    if queue then call('UNLINK', queue.takes) end
  end
end

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
local soonest = math.huge
for _, key in ipairs({ 'holds', 'pending' }) do
  soonest = math.min(soonest, tonumber(call('ZRANGE', root .. key, 0, 0, 'WITHSCORES')[2] or soonest))
end
return { text(now), soonest < math.huge and text(soonest) or '-1', answer }
