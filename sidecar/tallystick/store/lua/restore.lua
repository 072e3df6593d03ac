#!lua flags=allow-oom
-- Holds what was allowed while the store was away, or what it has lost: as the record says,
-- and whatever the limits are.
--
-- ARGV  1 tenant  2 id  3 the record out of the tally  4 outcome, for the ledger  5 retention ms
-- Replies:
--   {0 HELD}   {3 REPLAY}: it is known, or was released before   {7 the tally is too old}
-- include _begin _counts _exact _amounts _ends
local tenant, id, record, retention_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
local field = tenant .. ':r:' .. id

begin(tenant)
if call('HEXISTS', HOLD, field) == 1 then return {3} end
local hold = read_hold(record)
if now >= hold.expires + retention_ms then return {7} end
append('reserve', tenant, id, 'nano', hold.nano, 'tokens', hold.tokens, 'wallet', hold.wallet, 'wallet_unit',
  hold.wallet_unit or '', 'body', hold.body, 'outcome', ARGV[4], 'tally', record)
if hold.wallet ~= '' then
  local held = hold.wallet .. ':h'
  writes[held] = add(read_count(held) or '0', hold.wallet_unit == 't' and hold.tokens or hold.nano)
end
post(tenant, id, hold, unit_amounts(hold.nano, hold.tokens, '1'), nil, retention_ms)
open = open + 1
write_hold(field, hold)
call('ZADD', DUE, hold.expires, 'r:' .. field)
end_due(4, retention_ms)
finish()
return {0}
