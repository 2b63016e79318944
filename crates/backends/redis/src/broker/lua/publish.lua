-- ARGV: root, queue, how many messages of the calls behind this one must find room, most marks of dedup ids, then of each
-- message: id, message, and '' where that is all, else not before, expires at, priority, key, dedup id.
local queue = find(ARGV[2])
if not queue then return 'missing' end

local fresh, seen, repeated, swept = {}, {}, 0, false
local at, last = 5, #ARGV
while at <= last do
  local is_plain = ARGV[at + 2] == ''
  local mark = queue.window > 0 and not is_plain and ARGV[at + 6] or ''
  if mark ~= '' and not swept then
    swept = true
    call('ZREMRANGEBYSCORE', queue.marks, '-inf', now)
  end
  if mark ~= '' and (seen[mark] or call('ZSCORE', queue.marks, mark)) then
    repeated = repeated + 1
  else
    if mark ~= '' then seen[mark] = true end
    fresh[#fresh + 1] = at
  end
  at = at + (is_plain and 3 or 7)
end
if not queue.drops and waiting(queue) + #fresh + tonumber(ARGV[3]) > queue.length then return 'full' end

local ready, position = {}, call('HINCRBY', queue.at, 'position', #fresh) - #fresh
for _, at in ipairs(fresh) do
  position = position + 1
  local into = text(position)
  if ARGV[at + 2] == '' then
    take_in(queue, into, ARGV[at], ARGV[at + 1], '', 0, 0, '')
    ready[#ready + 1] = queue.classes == 0 and into or place(queue, 0, position)
    ready[#ready + 1] = into
  else
    local not_before, expires = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    take_in(queue, into, ARGV[at], ARGV[at + 1], '', expires, tonumber(ARGV[at + 4]), ARGV[at + 5])
    if not_before > now then
      call('ZADD', queue.later, not_before, into)
      -- Who waits looks when the next delayed one is due, which may be sooner now.
      wake(queue)
    else
      arrive(queue, into)
    end
  end
end
arrive_all(queue, ready)

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
