-- The short way of `take.lua`, whose arguments it has, before the functions of the prelude are made: nothing is listed that
-- could be ready, and the group hands out what is next.
if ARGV[6] == '' then
  local root, name, call = ARGV[1], ARGV[2], redis.call
  local at = root .. 'queue:' .. name
  local known = call('HMGET', at, 'settings', 'hold', 'paused', 'plain')
  if known[1] and known[3] ~= '1' and known[4]
    and call('EXISTS', root .. 'ready:' .. name, root .. 'later:' .. name, root .. 'ends:' .. name) == 0 then
    if ARGV[8] == '1' then call('HSET', at, 'asleep', '1') end
    local clock = call('TIME')
    local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
    local step = math.max(1, math.floor(known[2] / 1024))
    local from = math.ceil(now / step) * step
    local held_until = string.format('%.0f', from + known[2])
    call('ZADD', root .. 'takes:' .. name, 'NX', now, string.format('%.0f', from))
    call('ZADD', root .. 'pending', 'NX', held_until, name)
    call('RENAME', root .. 'stream:' .. name, root .. 'door:' .. name)
    return { known[1], '-1', held_until, string.format('%.0f', now) }
  end
end
