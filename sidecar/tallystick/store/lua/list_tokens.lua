#!lua flags=no-writes
-- The tokens, where they are others than is known.
--
-- ARGV  1 the stamp that is known, `-` for none
-- Replies: {0, stamp, {field, record, …}}   {3 REPLAY}: they are what is known
-- include _tokens
local stamp = redis.call('HGET', KEYS[1], 'tokens') or ''

if stamp == ARGV[1] then return {3} end
return {0, stamp, tokens()}
