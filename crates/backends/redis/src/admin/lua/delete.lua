-- ARGV: root, queue.
local queue = find(ARGV[2])
if not queue then return 'missing' end
for _, position in ipairs(call('HKEYS', queue.tokens)) do call('ZREM', root .. 'holds', member(queue, position)) end
local beside = { 'stream', 'ready', 'later', 'lines', 'heads', 'about', 'tokens', 'offered', 'tries', 'large', 'ends', 'marks' }
call('UNLINK', queue.at)
for _, word in ipairs(beside) do call('UNLINK', queue[word]) end
call('SREM', root .. 'names', queue.name)
-- Who waits is told that it is gone.
queue.paused = false
wake(queue)
return 1
