-- Behind `set.lua`: the entry that was there has tags.
leave_tags(before, KEYS[1], ARGV[4], ARGV[5])
return { version }
