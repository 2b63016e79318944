-- The short way of `ack.lua`, whose arguments it has, before the functions of the prelude are made: all are held for the first
-- time. Where some turn out not to be, that script finds out which those were that it need not end any more.
if #ARGV == 3 + ARGV[3] then
  local root, name, call = ARGV[1], ARGV[2], redis.call
  local at, stream = root .. 'queue:' .. name, root .. 'stream:' .. name
  if call('EXISTS', at, root .. 'tokens:' .. name) == 1
    and call('XACK', stream, 'forebay', unpack(ARGV, 4)) == tonumber(ARGV[3]) then
    call('XDEL', stream, unpack(ARGV, 4))
    call('HINCRBY', at, 'delivered', ARGV[3])
    call('HINCRBY', at, 'acked', ARGV[3])
    return string.rep('1', ARGV[3])
  end
end
