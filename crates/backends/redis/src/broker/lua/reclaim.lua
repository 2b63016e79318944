-- ARGV: root, queue, consumer, token, where to begin in the pending list, most entries to look at. Gives back what was handed
-- out under a token whose answer nobody got. Where to go on, or 0.
local queue = find(ARGV[2])
if not queue then return 'missing' end
local pending = call('XPENDING', queue.stream, GROUP, ARGV[5], '+', ARGV[6], ARGV[3])
local last
for _, entry in ipairs(pending) do
  last = entry[1]
  local position = string.match(last, '^%d+')
  if call('HGET', queue.tokens, position) == ARGV[4] then
    call('HDEL', queue.tokens, position)
    call('HDEL', queue.offered, position)
    call('ZREM', root .. 'holds', member(queue, position))
    call('XACK', queue.stream, GROUP, position)
    arrive(queue, position)
  end
end
return #pending == tonumber(ARGV[6]) and '(' .. last or 0
