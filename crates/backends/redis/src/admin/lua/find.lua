-- ARGV: root, queue, fields of a fresh queue, wait of what is parked again, id, position to begin at, most messages to look at.
-- The position to go on from; 0: there are no more; or settings, position, attempts before, published at, id, message, history,
-- where it is, until when.
local queue = find(ARGV[2])
if not queue then return 'missing' end
bring_up(queue, ARGV[3], ARGV[4])
-- What is behind the end of the shorter look has not been looked at in one of the streams.
local found, seen_to = nil, math.huge
for _, stream in ipairs({ queue.stream, queue.rest }) do
  local entries = call('XRANGE', stream, entry_of(ARGV[6]), '+', 'COUNT', ARGV[7])
  if #entries == tonumber(ARGV[7]) then seen_to = math.min(seen_to, tonumber(position_of(entries[#entries][1]))) end
  for _, entry in ipairs(entries) do
    local letter = letter_of(entry)
    if letter.id == ARGV[5] then
      if not found or tonumber(letter.position) < tonumber(found.position) then found = letter end
      break
    end
  end
end
if not found or tonumber(found.position) > seen_to then return seen_to < math.huge and text(seen_to + 1) or 0 end

local position, where, moment = found.position, 'ready', '0'
local due = call('ZSCORE', queue.later, position)
local one = pending(queue, entry_of(position), entry_of(position), 1)[1]
if call('HEXISTS', queue.tokens, position) == 1 then
  where, moment = 'held', call('ZSCORE', root .. 'holds', member(queue, position)) or '0'
elseif one then
  where, moment = 'held', one.held_until
elseif due then
  where, moment = 'delayed', due
end
local tries = call('HGET', queue.tries, position) or '0'
return { queue.settings, position, tries, found.published, found.id, found.message, found.history, where, text(tonumber(moment)) }
