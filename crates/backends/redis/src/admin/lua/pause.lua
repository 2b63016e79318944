-- ARGV: root, queue, 1 or 0.
local queue = find(ARGV[2])
if not queue then return 'missing' end
call('HSET', queue.at, 'paused', ARGV[3])
queue.paused = ARGV[3] == '1'
wake(queue)
return 1
