-- ARGV: root, queue, how many are said to be held for the first time, of each of these its entry, then of each other delivery
-- position and token. None of them twice. Of each 1: done; 0: not held.
local queue = find(ARGV[2])
if not queue then return 'missing' end
local answer, asked, given = {}, {}, {}
for number = 1, tonumber(ARGV[3]) do asked[number], given[number] = position_of(ARGV[3 + number]), FIRST end
for at = 4 + #asked, #ARGV, 2 do
  given[#asked + 1] = ARGV[at + 1]
  asked[#asked + 1] = ARGV[at]
end
local tokens = call('HMGET', queue.tokens, unpack(asked))
local listed, members, first, numbers = {}, {}, {}, {}
for number, position in ipairs(asked) do
  answer[number] = given[number] == (tokens[number] or FIRST) and '1' or '0'
  if answer[number] == '1' and tokens[number] then
    listed[#listed + 1] = position
    members[#members + 1] = member(queue, position)
  elseif answer[number] == '1' then
    first[#first + 1] = entry_of(position)
    numbers[#first] = number
  end
end
if #listed > 0 then
  call('HDEL', queue.tokens, unpack(listed))
  call('HDEL', queue.offered, unpack(listed))
  call('ZREM', root .. 'holds', unpack(members))
  count(queue, 'acked', #listed)
  forget_all(queue, listed)
end

if #first > 0 and call('XACK', queue.stream, GROUP, unpack(first)) < #first then
  -- Which of them were not held is not told. What was is in the stream still, and is listed nowhere.
  local last, were_held = cursor(queue), {}
  for at, entry in ipairs(first) do
    local position = position_of(entry)
    if tonumber(position) <= last and call('XRANGE', queue.stream, entry, entry)[1] and not call('ZSCORE', queue.ready, position)
      and not call('ZSCORE', queue.later, position) then
      were_held[#were_held + 1] = entry
    else
      answer[numbers[at]] = '0'
    end
  end
  first = were_held
end
if #first > 0 then
  call('XDEL', queue.stream, unpack(first))
  count(queue, 'delivered', #first)
  count(queue, 'acked', #first)
end
return table.concat(answer)
