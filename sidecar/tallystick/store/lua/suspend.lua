#!lua flags=allow-oom
-- Suspends a tenant, or resumes it: from the next call on, everywhere.
--
-- ARGV  1 tenant  2 suspend, or resume  3 by whom  4 reason
-- In META, under `suspended:TENANT`: since when (ms), by whom and why, with tabs between;
-- under `switched`: how often any tenant was.
-- Replies, with what META tells by now ('': it is not suspended):
--   {0 CHANGED, suspension}   {3 REPLAY, suspension}: it was so before
--   {6 UNKNOWN}: it has no policy
-- include _begin _counts
local tenant, kind, by, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

begin(tenant)
if version == '0' then return {6} end
if (kind == 'suspend') == (suspended ~= false) then return {3, suspended or ''} end
append(kind, tenant, tenant, 'by', by, 'reason', reason)
local told = ''
if kind == 'suspend' then
  told = now_text .. '\t' .. by .. '\t' .. reason
  call('HSET', META, 'suspended:' .. tenant, told)
else
  call('HDEL', META, 'suspended:' .. tenant)
end
call('HINCRBY', META, 'switched', 1)
finish()
return {0, told}
