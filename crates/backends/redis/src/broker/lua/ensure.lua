-- ARGV: root, queue, its fields as JSON, most queues, when a consumer is forgotten, in ms. The settings that are there, or 1: it
-- is declared now, or 0: too many.
local there = find(ARGV[2])
if there then
  -- Every process is a consumer of its own: those that ended long ago go.
  for _, consumer in ipairs(call('XINFO', 'CONSUMERS', there.stream, GROUP)) do
    local about = {}
    for at = 1, #consumer, 2 do about[consumer[at]] = consumer[at + 1] end
    if about.pending == 0 and about.idle > tonumber(ARGV[5]) then
      call('XGROUP', 'DELCONSUMER', there.stream, GROUP, about.name)
    end
  end
  return { there.settings }
end
if call('SCARD', root .. 'names') >= tonumber(ARGV[4]) then return 0 end
declare(ARGV[2], cjson.decode(ARGV[3]))
return 1
