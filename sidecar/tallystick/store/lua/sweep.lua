#!lua flags=allow-oom
-- Ends what is due in a partition that no call visits.
--
-- ARGV  1 the most to end  2 retention ms
-- Reply: {now, seq, epoch, open holds, 1 when more may be due, what META tells of its being frozen or '',
--   how often tenants were suspended or resumed}: a frozen partition ends nothing
-- include _begin _counts _exact _amounts _ends
begin('')
local told = call('HMGET', META, 'frozen', 'switched')
local frozen, switched = told[1], tonumber(told[2] or 0)
if frozen then return {now, seq, epoch, open, 0, frozen, switched} end
local more = end_due(tonumber(ARGV[1]), tonumber(ARGV[2]))
finish()
return {now, seq, epoch, open, more and 1 or 0, '', switched}
