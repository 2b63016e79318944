-- ARGV: root, queue, fields of a fresh queue, wait of what is parked again, most to move, the rank to begin at, most to look
-- at. How many were moved, and the rank to go on from, or -1.
local queue = find(ARGV[2])
if not queue then return 'missing' end
bring_up(queue, ARGV[3], ARGV[4])
local moved, rank, most = 0, tonumber(ARGV[6]), tonumber(ARGV[5])
local positions = call('ZRANGE', queue.ready, rank, rank + ARGV[7] - 1)
for _, position in ipairs(positions) do
  if moved >= most then return { moved, -1 } end
  local letter = read(queue, position)
  local history = letter and lines(letter.history) or {}
  local came = history[#history]
  local to = came and came.queue ~= queue.name and find(came.queue)
  if to and waiting(to) < to.length then
    local into = next_position(to)
    take_in(to, into, letter.id, letter.message, letter.history, 0, letter.priority, letter.key)
    arrive(to, into)
    call('ZREM', queue.ready, position)
    forget(queue, position)
    moved = moved + 1
  else
    rank = rank + 1
  end
end
return { moved, #positions < tonumber(ARGV[7]) and -1 or rank }
