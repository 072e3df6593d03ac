#!lua flags=allow-oom
-- Ends a hold with what was really spent, or corrects an estimated end, once.
--
-- ARGV  1 tenant  2 id  3 content  4 retention ms
--   5 mode: cost (nano_usd and tokens as given), hold (what is held), none (all back)
--   6 nano_usd  7 tokens ('': not said, so as held)  8 estimated (1 or 0)  9 outcome  10 usage, for the ledger
--   11 tally or '': the record as it was, of a hold that the store may have lost
--
-- Replies:
--   {0 SETTLED, now, seq, epoch, nano_usd, tokens, estimated, late, wallet counter,
--      lots drawn as JSON or '', nano_usd and tokens that were held}
--   {3 REPLAY, …}: the same; nothing changed
--   {4 MISMATCH}   {6 NOT_FOUND}   {7 the tally is too old}
-- include _begin _exact _amounts _ends
local tenant, id, content, retention_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local mode, estimated = ARGV[5], ARGV[8] == '1'
local field = tenant .. ':r:' .. id

begin(tenant)
local value = call('HGET', HOLD, field)
local lost = not value or value:sub(3, 3) == 'T'
if lost then
  if ARGV[11] == '' then return {6} end
  value = ARGV[11]
end
local hold = read_hold(value)
if lost then
  if now >= hold.expires + retention_ms then return {7} end
  hold.state = 'L'
end

local function answer(code, is_estimated, late)
  return {code, now, seq, epoch, hold.charged_nano, hold.charged_tokens, is_estimated and 1 or 0, late and 1 or 0,
    hold.wallet, #hold.drawn > 0 and cjson.encode(hold.drawn) or '', hold.nano, hold.tokens}
end

local was_estimated = hold.state == 'X' or hold.state == 'E'
local ended_late = hold.ended_as == content .. ' late'
if (hold.state == 'S' or hold.state == 'E') and (hold.ended_as == content or ended_late) then
  return answer(3, was_estimated, ended_late)
end
if hold.state == 'S' then return {4} end
if was_estimated and estimated then return answer(3, true, true) end

local nano, tokens, requests = ARGV[6], ARGV[7], '1'
if mode == 'hold' or nano == '' then nano = hold.nano end
if mode == 'hold' or tokens == '' then tokens = hold.tokens end
if mode == 'none' then nano, tokens, requests = '0', '0', '0' end
local late = hold.state ~= 'O'
local account = pay(hold, id, nano, tokens)
append('settle', tenant, id, 'nano', nano, 'tokens', tokens, 'requests', requests, 'outcome', ARGV[9],
  'estimated', ARGV[8], 'usage', ARGV[10], 'tally', lost and value or '', paid(hold, account))
charge(tenant, id, hold, account, nano, tokens, requests, retention_ms)
hold.state, hold.ended_as = estimated and 'E' or 'S', late and content .. ' late' or content
write_hold(field, hold)
call('ZADD', DUE, math.max(hold.expires, now) + retention_ms, 'r:' .. field)
end_due(4, retention_ms)
finish()
return answer(0, estimated, late)
