#!lua
-- Adds paid funds to a wallet, once per credit id.
--
-- ARGV  1 tenant  2 credit id  3 wallet counter  4 unit  5 amount  6 reason
--   7 retention ms
-- Replies: {0 CREDITED, now, seq, epoch, funds, balance, held}
--   {3 REPLAY, now, seq, epoch, funds, balance, held}   {4 MISMATCH}
-- include _begin _exact
local tenant, id, wallet, amount, retention_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[5], tonumber(ARGV[7])
local field = tenant .. ':c:' .. id
local content = wallet .. '\t' .. amount

begin(tenant)
local before = call('HMGET', COUNT, wallet .. ':f', wallet .. ':b', wallet .. ':h')
local funds, balance, held = before[1] or '0', before[2] or '0', before[3] or '0'
local known = call('HGET', HOLD, field)
if known and known ~= content then return {4} end
if known then return {3, now, seq, epoch, funds, balance, held} end

append('credit', tenant, id, 'wallet', wallet, 'unit', ARGV[4], 'amount', amount, 'reason', ARGV[6])
funds, balance = add(funds, amount), add(balance, amount)
call('HSET', COUNT, wallet .. ':f', funds, wallet .. ':b', balance)
call('HSET', HOLD, field, content)
call('ZADD', DUE, now + retention_ms, 'a:' .. field)
finish()
return {0, now, seq, epoch, funds, balance, held}
