-- Moves a message to the queue of its dead letters, which is declared if it is not there, with one more line in its history.
local function dead_letter(queue, position, reason, attempts, note, fresh_fields, wait)
  local name = queue.dead
  if name == '' then name = 'forebay.parked' end
  local to = name == queue.name and queue or find(name) or declare(name, cjson.decode(fresh_fields))
  local letter = read(queue, position)
  count(queue, 'dead_lettered', 1)
  if not letter then return forget(queue, position) end
  local history = lines(letter.history)
  local line = { queue = queue.name, reason = reason, count = 1, at = now, attempts = attempts }
  if note ~= '' then line.note = note end
  for number, before in ipairs(history) do
    if before.queue == line.queue and before.reason == line.reason then
      line.count = before.count + 1
      table.remove(history, number)
      break
    end
  end
  if #history >= 64 then table.remove(history, 1) end
  history[#history + 1] = line
  -- What is given up where all given up messages are parked waits, or it would go round and round.
  local at = to == queue and now + tonumber(wait) or nil
  enter(to, letter.id, letter.message, cjson.encode(history), 0, letter.priority, letter.key, at)
  forget(queue, position)
  if to.drops then drop_beyond(to) end
end

-- Bytes that one script may still move to dead letters: others wait meanwhile.
local room = 16777216

-- What has come to its moment, and what has outlived its time, of the first thousand. Whether more may have outlived it.
local function bring_up(queue, fresh_fields, wait)
  for _, position in ipairs(call('ZRANGEBYSCORE', queue.later, '-inf', now, 'LIMIT', 0, 1000)) do
    call('ZREM', queue.later, position)
    arrive(queue, position)
  end
  local over = call('ZRANGEBYSCORE', queue.ends, '-inf', now, 'LIMIT', 0, 1000)
  for _, position in ipairs(over) do
    if room <= 0 then return true end
    local held_until = call('ZSCORE', root .. 'holds', member(queue, position))
    if held_until then
      -- Its consumer may still finish it. It is looked at again when the hold is over.
      call('ZADD', queue.ends, math.max(tonumber(held_until), now) + 1, position)
    else
      call('ZREM', queue.ready, position)
      call('ZREM', queue.later, position)
      if queue.dead == '' then
        count(queue, 'dropped', 1)
        forget(queue, position)
      else
        room = room - tonumber(call('HGET', queue.large, position) or '4096')
        local attempts = tonumber(call('HGET', queue.tries, position) or '0')
        dead_letter(queue, position, 'expired', attempts, '', fresh_fields, wait)
      end
    end
  end
  return #over == 1000
end

