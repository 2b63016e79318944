-- Every outcome but done, which is `ack.lua`. ARGV: root, queue, fields of a fresh queue, wait of what is parked again, position,
-- token, outcome, when to hand it out again (or '', at once) or reason, note. 1: done; 0: not held.
local queue = find(ARGV[2])
if not queue then return 'missing' end
local position, outcome = ARGV[5], ARGV[7]
if call('HGET', queue.tokens, position) ~= ARGV[6] then return 0 end
call('HDEL', queue.tokens, position)
call('HDEL', queue.offered, position)
call('ZREM', root .. 'holds', member(queue, position))
call('XACK', queue.stream, GROUP, position)
if outcome == 'dead' then
  local attempts = tonumber(call('HGET', queue.tries, position) or '0') + 1
  dead_letter(queue, position, ARGV[8], attempts, ARGV[9], ARGV[3], ARGV[4])
else
  -- It counts as an attempt where a consumer has seen it.
  if outcome ~= 'return' then call('HINCRBY', queue.tries, position, 1) end
  if outcome == 'retry' then count(queue, 'retried', 1) end
  local at = tonumber(ARGV[8]) or now
  if at > now then
    call('ZADD', queue.later, at, position)
    -- Who waits looks when the next one is due, which may be sooner now.
    wake(queue)
  else
    arrive(queue, position)
  end
end
if queue.drops then drop_beyond(queue) end
return 1
