#!lua
-- Keeps a token's record, in which there is a digest of it and no more.
--
-- ARGV  1 field, TENANT:NAME  2 record  3 stamp of this change  4 the most tokens there may be
-- Replies: {0 KEPT}   {1 DENY}: there are so many   {4 MISMATCH}: there is one of this name
-- include _tokens
local field = 'token:' .. ARGV[1]

if redis.call('HEXISTS', META, field) == 1 then return {4} end
if #tokens() / 2 >= tonumber(ARGV[4]) then return {1} end
redis.call('HSET', META, field, ARGV[2])
changed(ARGV[3])
return {0}
