-- Takes in plain messages, or opens the door to commands behind it that do. It stands without the prelude, whose own work is
-- more than this. ARGV: root, queue, how many messages, how many of the calls behind this one must find room, the moment in
-- ms, then of each id and message, or nothing for the door. 'other': it is for the script that publishes to decide.
local root, name, call = ARGV[1], ARGV[2], redis.call
local at, stream = root .. 'queue:' .. name, root .. 'stream:' .. name
local known = call('HMGET', at, 'plain', 'asleep', 'paused')
local there = call('XLEN', stream) + call('XLEN', root .. 'rest:' .. name)
if not known[1] or there + ARGV[3] + ARGV[4] > tonumber(known[1]) then return 'other' end
call('HINCRBY', at, 'published', ARGV[3])
if known[2] and known[3] ~= '1' then
  call('HDEL', at, 'asleep')
  call('PUBLISH', root .. 'bell', name)
end
if #ARGV == 5 then
  call('RENAME', stream, root .. 'door:' .. name)
else
  for at = 6, #ARGV, 2 do call('XADD', stream, '0-*', 'i', ARGV[at], 'm', ARGV[at + 1], 'p', ARGV[5]) end
end
return 'done'
