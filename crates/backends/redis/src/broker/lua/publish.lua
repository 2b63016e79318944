-- ARGV: root, queue, how many messages of the calls behind this one must find room, most marks of dedup ids, then of each
-- message: id, message, not before, expires at, priority, key, dedup id.
local queue = find(ARGV[2])
if not queue then return 'missing' end

local fresh, seen, repeated = {}, {}, 0
if queue.window > 0 then call('ZREMRANGEBYSCORE', queue.marks, '-inf', now) end
for at = 5, #ARGV, 7 do
  local mark = queue.window > 0 and ARGV[at + 6] or ''
  if mark ~= '' and (seen[mark] or call('ZSCORE', queue.marks, mark)) then
    repeated = repeated + 1
  else
    if mark ~= '' then seen[mark] = true end
    fresh[#fresh + 1] = at
  end
end
if not queue.drops and waiting(queue) + #fresh + tonumber(ARGV[3]) > queue.length then return 'full' end

for _, at in ipairs(fresh) do
  local position = next_position(queue)
  local not_before, expires = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  take_in(queue, position, ARGV[at], ARGV[at + 1], '', expires, tonumber(ARGV[at + 4]), ARGV[at + 5])
  if not_before > now then call('ZADD', queue.later, not_before, position) else arrive(queue, position) end
end
-- Who waits looks when the next delayed one is due, which may be sooner now.
wake(queue)

local forgotten = 0
for mark in pairs(seen) do call('ZADD', queue.marks, now + queue.window, mark) end
if next(seen) then
  forgotten = math.max(0, call('ZCARD', queue.marks) - tonumber(ARGV[4]))
  if forgotten > 0 then call('ZPOPMIN', queue.marks, forgotten) end
end

if queue.drops then drop_beyond(queue) end
count(queue, 'published', #fresh)
if repeated > 0 then count(queue, 'repeated', repeated) end
if forgotten > 0 then count(queue, 'dedup_forgotten', forgotten) end
return 'done'
