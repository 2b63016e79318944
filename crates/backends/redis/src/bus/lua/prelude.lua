-- KEYS: the stream. Beside it a hash: the server's id and the count of fail-overs that were seen last; doubt, the id up to which
-- something may have been lost that a server once gave; trimmed, the last id that gave way to newer ones; bytes, of all that is kept.
-- Behind its own ARGV every script has that count.
local call = redis.call
local stream, meta = KEYS[1], KEYS[1] .. ':meta'

local function read_id(id)
  local ms, sequence = string.match(id, '^(%d+)%-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end

local function is_after(one, other)
  local ms, sequence = read_id(one)
  local other_ms, other_sequence = read_id(other)
  return ms > other_ms or (ms == other_ms and sequence > other_sequence)
end

local function last_id()
  if call('EXISTS', stream) == 0 then return '0-0' end
  local info = call('XINFO', 'STREAM', stream)
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then return info[at + 1] end
  end
end

-- The doubt and what was trimmed. The server's id changes with every start and when it is made a master, and the count grows with
-- each fail-over: one that was never told that another had taken over in between has none of what that one gave. With either
-- the newest of what was given may be lost: all from before is in doubt then. What comes next has a greater id. Who tells a smaller
-- count is not behind in what the server has, and changes nothing.
local function certain()
  local id = string.match(call('INFO', 'replication'), 'master_replid:(%x+)')
  local known = call('HMGET', meta, 'id', 'count', 'doubt', 'trimmed')
  if known[1] == id and tonumber(ARGV[#ARGV]) <= tonumber(known[2]) then return known[3], known[4] end
  local time = call('TIME')
  local doubt = string.format('%.0f-0', time[1] * 1000 + math.floor(time[2] / 1000) - 1)
  local last = last_id()
  if is_after(last, doubt) then doubt = last end
  if known[3] and is_after(known[3], doubt) then doubt = known[3] end
  call('HSET', meta, 'id', id, 'count', ARGV[#ARGV], 'doubt', doubt)
  call('HSETNX', meta, 'trimmed', '0-0')
  return doubt, known[4] or '0-0'
end

local function head_after(doubt)
  local last = last_id()
  return is_after(last, doubt) and last or doubt
end

