#!lua flags=allow-oom
-- Reads counters as they stand once everything due has ended.
--
-- ARGV  1 tenant  2 policy version  3 valid from  4 valid until  5 retention ms
--   then the fields of COUNT to read
-- Replies: {0, now, seq, epoch, values, 1 where the tenant is suspended}   {2 AGAIN, now, policy version}
-- include _begin _counts _exact _amounts _ends
begin(ARGV[1])
if version ~= ARGV[2] or now < ARGV[3] + 0 or now >= ARGV[4] + 0 then
  return {2, now, version}
end
local more = end_due(END_BEFORE_REFUSAL, tonumber(ARGV[5]))
finish()
if more then return {2, now, version} end
local values = #ARGV > 5 and call('HMGET', COUNT, unpack(ARGV, 6)) or {}
return {0, now, seq, epoch, values, suspended and 1 or 0}
