#!lua
-- Keeps a token's record, in which there is a digest of it and no more.
--
-- ARGV  1 tenant  2 name  3 record  4 stamp of this change  5 the most tokens there may be
--       6 by whom  7… what the ledger tells of it, names and values
-- Replies: {0 KEPT}   {1 DENY}: there are so many   {4 MISMATCH}: there is one of this name
-- include _begin _counts _tokens
local tenant, name, most, by = ARGV[1], ARGV[2], tonumber(ARGV[5]), ARGV[6]
local field = 'token:' .. tenant .. ':' .. name

begin(tenant)
if call('HEXISTS', META, field) == 1 then return {4} end
if #tokens() / 2 >= most then return {1} end
append('token', tenant, name, 'by', by, unpack(ARGV, 7))
call('HSET', META, field, ARGV[3], 'tokens', ARGV[4])
finish()
return {0}
