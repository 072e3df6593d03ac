#!lua flags=allow-oom
-- Thaws a partition: it goes on from where it is, in a new epoch.
--
-- ARGV  1 by whom  2 reason
-- Reply: {0, now, seq, epoch, what META told of it ('': it was not frozen, and nothing changed)}
-- include _begin _counts
begin('')
local told = call('HGET', META, 'frozen')
if not told then return {0, now, seq, epoch, ''} end
local seen, found = told:match('^%d+\t([%d-]+)\t([%d-]+)$')
epoch = int(1 + math.max(tonumber(epoch), tonumber(seen:match('^%d+'))))
append('thaw', '', seen, 'found', found, 'by', ARGV[1], 'reason', ARGV[2])
call('HSET', META, 'epoch', epoch)
call('HDEL', META, 'frozen')
finish()
return {0, now, seq, epoch, told}
