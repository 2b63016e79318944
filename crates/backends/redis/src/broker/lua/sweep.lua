-- ARGV: root, fields of a fresh queue, wait of what is parked again, most queues to look at. How many were looked at.
local names = call('ZRANGEBYSCORE', root .. 'ending', '-inf', now, 'LIMIT', 0, ARGV[4])
for _, name in ipairs(names) do
  local queue = find(name)
  if queue then bring_up(queue, ARGV[2], ARGV[3]) end
  local soonest = queue and call('ZRANGE', queue.ends, 0, 0, 'WITHSCORES')[2]
  if soonest then call('ZADD', root .. 'ending', soonest, name) else call('ZREM', root .. 'ending', name) end
end
return #names
