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

