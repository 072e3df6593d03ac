#!lua flags=allow-oom
-- Forgets a token.
--
-- ARGV  1 tenant  2 name  3 stamp of this change  4 by whom
-- Replies: {0 REVOKED}   {6 UNKNOWN}: there is none of this name
-- include _begin _counts
local tenant, name, by = ARGV[1], ARGV[2], ARGV[4]
local field = 'token:' .. tenant .. ':' .. name

begin(tenant)
if call('HEXISTS', META, field) == 0 then return {6} end
append('revoke', tenant, name, 'by', by)
call('HDEL', META, field)
call('HSET', META, 'tokens', ARGV[3])
finish()
return {0}
