#!lua
-- Charges several costs that nothing was held for, each where every budget of it and a
-- wallet have room: all of them, or none.
--
-- ARGV  1 tenant  2 policy version  3 valid from  4 valid until (ms, exclusive)
--   5 retention ms  6 how long the answers are kept, ms
--   then of each the charge (see _direct), 9 a refusal that no counter changes ('0' none),
--   and what there must be room for: 10 nano_usd  11 tokens  12 requests
-- Replies, with a verdict on each: {reason or 0, index of the budget or 0, funds, values},
-- `funds` being balance and held of each wallet and `values` spent and held of each
-- budget, after what those before it take:
--   {0 TAKEN, now, seq, epoch, verdicts}   {1 DENY, now, seq, epoch, verdicts}
--   {2 AGAIN, now, policy version}   {3 REPLAY, now, seq, epoch, verdicts}: was taken before
-- include _begin _counts _exact _amounts _ends _receive _grants _move _direct _weigh
local tenant, retention_ms, keep_ms = ARGV[1], tonumber(ARGV[5]), tonumber(ARGV[6])
local charges, fields, spent = {}, {}, {}

for at = 7, #ARGV, OF_A_CHARGE + 4 do
  local c, more = read_charge(tenant, at), at + OF_A_CHARGE
  c.refusal, c.needs = tonumber(ARGV[more]), unit_amounts(ARGV[more + 1], ARGV[more + 2], ARGV[more + 3])
  c.needs.c = '0'
  charges[#charges + 1], fields[#fields + 1] = c, c.field
end

-- Why it does not fit, and what binds; else keeps the wallet that pays.
local function judge(c, values)
  if suspended then return SUSPENDED, 0 end
  if c.refusal > 0 then return c.refusal, 0 end
  local reason, binds = weigh(c.budgets, values, 0, c.needs)
  if reason then return reason, binds end
  c.payer = payer_of(c.wallets, c.needs)
  if #c.wallets > 0 and not c.payer then return NO_FUNDS, 0 end
  if c.payer then
    local a = wallet_of(c.payer)
    a.taken = add(a.taken, c.amounts[c.payer[2]])
  end
  for _, b in ipairs(c.budgets) do spent[b[1]] = add(spent[b[1]] or '0', c.amounts[b[2]]) end
  return 0, 0
end

local function verdict_on(c, replayed)
  local values, funds = values_of(c.budgets), {}
  for i, b in ipairs(c.budgets) do values[2 * i - 1] = add(values[2 * i - 1] or '0', spent[b[1]] or '0') end
  for _, line in ipairs(c.wallets) do
    local a = wallet_of(line)
    funds[#funds + 1], funds[#funds + 2] = a.balance, add(a.held, a.taken)
  end
  local reason, binds = 0, 0
  if not replayed then reason, binds = judge(c, values) end
  return {reason, binds, funds, values}
end

begin(tenant)
local replayed = false
for _, known in ipairs(call('HMGET', HOLD, unpack(fields))) do replayed = replayed or known end
if not replayed and (version ~= ARGV[2] or now < ARGV[3] + 0 or now >= ARGV[4] + 0) then
  return {2, now, version}
end
local more = not replayed and end_due(16, retention_ms)
local verdicts, refused = {}, false
for i, c in ipairs(charges) do
  verdicts[i] = verdict_on(c, replayed)
  refused = refused or verdicts[i][1] > 0
end
if replayed then return {3, now, seq, epoch, verdicts} end

if refused then
  if more then end_due(END_BEFORE_REFUSAL, retention_ms) end
  finish()
  if more then return {2, now, version} end
  return {1, now, seq, epoch, verdicts}
end
for _, c in ipairs(charges) do
  if c.nano ~= '0' or c.tokens ~= '0' or c.requests ~= '0' then
    charge_directly(tenant, c, c.payer, retention_ms, keep_ms)
  end
end
finish()
return {0, now, seq, epoch, verdicts}
