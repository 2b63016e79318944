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
  local into = next_position(to)
  take_in(to, into, letter.id, letter.message, cjson.encode(history), 0, letter.priority, letter.key)
  -- What is given up where all given up messages are parked waits, or it would go round and round.
  if to == queue then call('ZADD', to.later, now + tonumber(wait), into) else arrive(to, into) end
  forget(queue, position)
  if to.drops then drop_beyond(to) end
end

