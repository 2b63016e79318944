-- ARGV: root, queue, its fields as JSON, most queues. The settings that are there, or 1: it is declared now, or 0: too many.
local there = find(ARGV[2])
if there then return { there.settings } end
if call('SCARD', root .. 'names') >= tonumber(ARGV[4]) then return 0 end
declare(ARGV[2], cjson.decode(ARGV[3]))
return 1
