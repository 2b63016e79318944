-- ARGV: root, queue, most messages. How many were removed, of those that are ready, delayed or behind others of their key.
local queue = find(ARGV[2])
if not queue then return 'missing' end
local removed = 0
for _, set in ipairs({ queue.ready, queue.later }) do
  for _, position in ipairs(call('ZRANGE', set, 0, ARGV[3] - 1)) do
    call('ZREM', set, position)
    forget(queue, position)
    removed = removed + 1
  end
end
for _, line in ipairs(call('ZRANGE', queue.lines, 0, ARGV[3] - 1)) do
  call('ZREM', queue.lines, line)
  forget(queue, text(tonumber(string.sub(line, -16))))
  removed = removed + 1
end
return removed
