-- ARGV: root, queue, consumer, the last position that it was told of, token, where to go on among the tokens or 0, most entries
-- to look at. Gives back what was handed out by a take whose answer nobody got. Where to go on; 0: that was all.
local queue = find(ARGV[2])
if not queue then return 'missing' end
local pending = call('XPENDING', queue.stream, GROUP, '(' .. entry_of(ARGV[4]), '+', ARGV[7], ARGV[3])
for _, one in ipairs(pending) do
  call('XACK', queue.stream, GROUP, one[1])
  arrive(queue, position_of(one[1]))
end
if #pending == tonumber(ARGV[7]) then return 'again' end
local found = call('HSCAN', queue.tokens, ARGV[6], 'COUNT', ARGV[7])
for at = 1, #found[2], 2 do
  local position = found[2][at]
  if found[2][at + 1] == ARGV[5] and release(queue, position, ARGV[5]) then arrive(queue, position) end
end
return found[1]
