-- ARGV: notice, most notices and bytes to keep, channel of the bell. Its id.
certain()
local id = call('XADD', stream, '*', 'n', ARGV[1])
local bytes = call('HINCRBY', meta, 'bytes', #ARGV[1])
for _ = 1, 1000 do
  local length = call('XLEN', stream)
  if length <= tonumber(ARGV[2]) and (bytes <= tonumber(ARGV[3]) or length <= 1) then break end
  local first = call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  call('XDEL', stream, first[1])
  call('HSET', meta, 'trimmed', first[1])
  bytes = call('HINCRBY', meta, 'bytes', -#first[2][2])
end
call('PUBLISH', ARGV[4], '')
return id
