-- ARGV: root, queue, fields of a fresh queue, wait of what is parked again, id, position to begin at, most messages to look at.
-- The position to go on from; 0: there are no more; or settings, position, attempts before, published at, id, message, history,
-- where it is, until when.
local queue = find(ARGV[2])
if not queue then return 'missing' end
bring_up(queue, ARGV[3], ARGV[4])
local last
for _, entry in ipairs(call('XRANGE', queue.stream, ARGV[6], '+', 'COUNT', ARGV[7])) do
  last = string.match(entry[1], '^%d+')
  local field = entry[2]
  if field[2] == ARGV[5] then
    local where, moment = 'ready', '0'
    if call('HEXISTS', queue.tokens, last) == 1 then
      where, moment = 'held', call('ZSCORE', root .. 'holds', member(queue, last)) or '0'
    else
      local due = call('ZSCORE', queue.later, last)
      if due then where, moment = 'delayed', due end
    end
    local tries = call('HGET', queue.tries, last) or '0'
    return { queue.settings, last, tries, field[8], field[2], field[4], field[6], where, text(tonumber(moment)) }
  end
end
return last and text(tonumber(last) + 1) or 0
