#!lua
-- Puts a policy in force: from the next call on, everywhere. Keeps the newest versions.
--
-- ARGV  1 tenant  2 document  3 the version it replaces, '' any  4 by whom  5 comment
--   6 the version whose document it has again, '' none  7 how many versions are kept
-- In POLICY, under `TENANT:VERSION:n`: when (ms), by whom, comment and 6, with tabs between.
-- Replies: {0 APPLIED, version}   {3 REPLAY, version}: in force already
--   {4 MISMATCH, version}: another version is in force
-- include _begin _counts
local tenant, document, expected, by, comment, back_to = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

begin(tenant)
if call('HGET', POLICY, tenant .. ':' .. version) == document then return {3, version} end
if expected ~= '' and expected ~= version then return {4, version} end
local following = int(tonumber(version) + 1)
local field = tenant .. ':' .. following
append('policy', tenant, following, 'by', by, 'comment', comment, 'back_to', back_to)
call('HSET', POLICY, field, document, field .. ':n',
  now_text .. '\t' .. by .. '\t' .. comment .. '\t' .. back_to)
call('HSET', META, 'policy:' .. tenant, following)
local old, gone = tonumber(following) - tonumber(ARGV[7]), 1
while old > 0 and gone > 0 do -- more than one where more were kept before
  field = tenant .. ':' .. int(old)
  old, gone = old - 1, call('HDEL', POLICY, field, field .. ':n')
end
finish()
return {0, following}
