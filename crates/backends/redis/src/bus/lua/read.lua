-- ARGV: the id after which to read, most notices. Doubt, trimmed, head, then id and notice of each.
local doubt, trimmed = certain()
local answer = { doubt, trimmed, head_after(doubt) }
for _, entry in ipairs(call('XRANGE', stream, '(' .. ARGV[1], '+', 'COUNT', ARGV[2])) do
  answer[#answer + 1] = entry[1]
  answer[#answer + 1] = entry[2][2]
end
return answer
