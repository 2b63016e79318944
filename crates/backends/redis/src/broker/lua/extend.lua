-- ARGV: root, queue, position, token, hold in ms or '' to look only. Settings, attempts before, the end of the hold; or 0: it
-- is not held, or was offered to the rules already and cannot be prolonged.
local queue = find(ARGV[2])
if not queue then return 'missing' end
local position = ARGV[3]
if call('HGET', queue.tokens, position) ~= ARGV[4] then return 0 end
local held_until = call('ZSCORE', root .. 'holds', member(queue, position))
if not held_until then return 0 end
held_until = tonumber(held_until)
if ARGV[5] ~= '' then
  if call('HEXISTS', queue.offered, position) == 1 then return 0 end
  held_until = now + tonumber(ARGV[5])
  call('ZADD', root .. 'holds', held_until, member(queue, position))
end
return { queue.settings, call('HGET', queue.tries, position) or '0', text(held_until) }
