#!lua flags=allow-oom
-- Freezes a partition that was further once; one that is as far as was seen, it leaves as it is.
--
-- ARGV  1 the epoch that was seen  2 the sequence
-- In META, under `frozen`: since when (ms), what was seen and what was found, with tabs between.
-- Reply: {0, now, seq, epoch, what META tells of it ('': it is not frozen)}
-- include _begin
begin('')
local told = call('HGET', META, 'frozen')
local seen, at = tonumber(ARGV[1]), tonumber(epoch)
if not told and (at < seen or at == seen and seq < tonumber(ARGV[2])) then
  told = now_text .. '\t' .. ARGV[1] .. '-' .. ARGV[2] .. '\t' .. epoch .. '-' .. seq_text
  call('HSET', META, 'frozen', told)
end
return {0, now, seq, epoch, told or ''}
