#!lua flags=allow-oom
-- Forgets a token.
--
-- ARGV  1 field, TENANT:NAME  2 stamp of this change
-- Replies: {0 REVOKED}   {6 UNKNOWN}: there is none of this name
-- include _tokens
if redis.call('HDEL', META, 'token:' .. ARGV[1]) == 0 then return {6} end
changed(ARGV[2])
return {0}
