-- ARGV: root, queue, then of each delivery position and token. Of each 1: done; 0: not held.
local queue = find(ARGV[2])
if not queue then return 'missing' end
local asked = {}
for at = 3, #ARGV, 2 do asked[#asked + 1] = ARGV[at] end
local tokens = call('HMGET', queue.tokens, unpack(asked))
local answer, done, members, gone = {}, {}, {}, {}
for number, position in ipairs(asked) do
  if tokens[number] == ARGV[2 * number + 2] and not gone[position] then
    answer[number] = '1'
    gone[position] = true
    done[#done + 1] = position
    members[#members + 1] = member(queue, position)
  else
    answer[number] = '0'
  end
end
if #done > 0 then
  call('HDEL', queue.tokens, unpack(done))
  call('HDEL', queue.offered, unpack(done))
  call('ZREM', root .. 'holds', unpack(members))
  call('XACK', queue.stream, GROUP, unpack(done))
  count(queue, 'acked', #done)
  forget_all(queue, done)
end
return table.concat(answer)
