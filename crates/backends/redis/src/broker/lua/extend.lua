-- ARGV: root, queue, position, token, hold in ms or '' to look only. Settings, attempts before, the end of the hold; or 0: it
-- is not held, or was offered to the rules already and cannot be prolonged.
local queue = find(ARGV[2])
if not queue then return 'missing' end
local position, held_until = ARGV[3], nil
local token = call('HGET', queue.tokens, position)
if token then
  held_until = token == ARGV[4] and call('ZSCORE', root .. 'holds', member(queue, position))
  if held_until and ARGV[5] ~= '' and call('HEXISTS', queue.offered, position) == 1 then return 0 end
elseif ARGV[4] == FIRST then
  local entry = entry_of(position)
  local one = pending(queue, entry, entry, 1)[1]
  held_until = one and one.held_until
end
if not held_until then return 0 end
held_until = tonumber(held_until)
if ARGV[5] ~= '' then
  held_until = now + tonumber(ARGV[5])
  if token then
    call('ZADD', root .. 'holds', held_until, member(queue, position))
  else
    list_held(queue, position, held_until)
  end
end
return { queue.settings, call('HGET', queue.tries, position) or '0', text(held_until) }
