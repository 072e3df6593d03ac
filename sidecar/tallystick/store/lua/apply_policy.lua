#!lua
-- Puts a policy in force: from the next call on, everywhere.
--
-- ARGV  1 tenant  2 document  3 the version it replaces, '' any
-- Replies: {0 APPLIED, version}   {3 REPLAY, version}: in force already
--   {4 MISMATCH, version}: another version is in force
-- include _begin _counts
local tenant, document, expected = ARGV[1], ARGV[2], ARGV[3]

begin(tenant)
if call('HGET', POLICY, tenant .. ':' .. version) == document then return {3, version} end
if expected ~= '' and expected ~= version then return {4, version} end
local following = int(tonumber(version) + 1)
append('policy', tenant, following)
call('HSET', POLICY, tenant .. ':' .. following, document)
call('HSET', META, 'policy:' .. tenant, following)
finish()
return {0, following}
