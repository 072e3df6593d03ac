#!lua flags=allow-oom
-- Charges a cost that nothing was held for, whatever is left: the first wallet with enough
-- pays, else the last of the cascade, which goes into debt.
--
-- ARGV  1 tenant  2 policy version  3 valid from  4 valid until (ms, exclusive)
--   5 retention ms  6 how long the answer is kept, ms  7 … the charge (see _direct)
-- Replies, `values` being spent and held of each budget by now:
--   {0 CHARGED, now, seq, epoch, nano_usd, tokens, wallet counter, lots drawn as JSON or '', values,
--      1 where the tenant is suspended}
--   {2 AGAIN, now, policy version}   {3 REPLAY, …}: the same; nothing changed   {4 MISMATCH}
-- include _begin _counts _exact _amounts _ends _receive _grants _move _direct
local tenant, retention_ms = ARGV[1], tonumber(ARGV[5])
local c = read_charge(tenant, 7)

local function answer(code, hold)
  return {code, now, seq, epoch, hold.charged_nano, hold.charged_tokens, hold.wallet,
    drawn_text(hold), values_of(hold.budgets), suspended and 1 or 0}
end

begin(tenant)
local value = call('HGET', HOLD, c.field)
if value and value:sub(3, 3) ~= 'T' then
  local hold = read_hold(value)
  if hold.content ~= c.content then return {4} end
  return answer(3, hold)
end
if version ~= ARGV[2] or now < ARGV[3] + 0 or now >= ARGV[4] + 0 then
  return {2, now, version}
end
end_due(16, retention_ms)
local payer = payer_of(c.wallets, c.amounts) or c.wallets[#c.wallets]
local hold = charge_directly(tenant, c, payer, retention_ms, tonumber(ARGV[6]))
finish()
return answer(0, hold)
