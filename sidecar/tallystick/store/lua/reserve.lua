#!lua
-- Checks a call against every wallet and budget, and holds its cost: one step.
-- Where the policy names other models to use instead, they are tried in order.
--
-- ARGV  1 tenant  2 policy version  3 valid from  4 valid until (ms, exclusive)
--   5 retention ms  6 the wallets, as JSON: of each {counter, unit}, and its grant
--   (see _grants)  7 id  8 content  9 ttl ms
--   then of each try:
--   1 nano_usd  2 tokens  3 refusal ('0' none)  4 whether wallets pay ('1' or '0')
--   5 limits to weigh against instead of the ceilings, as JSON, or ''
--   6 the record's body, which names the budgets
--
-- Replies, `values` being balance and held of each wallet, then spent and held of each
-- budget of the try, before it:
--   {0 ALLOW, now, seq, epoch, wallet's index or 0, expires, try, reason, binds, values}:
--      reason and binds say why it isn't the first try
--   {1 DENY, now, seq, epoch, reason, index of the budget or 0, try, values}
--   {2 AGAIN, now, policy version}: the plan is stale, or more is due
--   {3 REPLAY, record}   {4 MISMATCH}   {5 RELEASED}
-- include _begin _exact _alert _lots _grants _hold _due _weigh
local ARGV = ARGV
local tenant, retention_ms, id, content = ARGV[1], tonumber(ARGV[5]), ARGV[7], ARGV[8]
local field = tenant .. ':r:' .. id

local known = call('HGET', HOLD, field)
if known then
  local hold = read_hold(known)
  if hold.content ~= content and hold.state ~= 'T' then return {4} end
  if hold.state == 'R' or hold.state == 'T' then return {5} end
  return {3, known}
end

begin(tenant)
if version ~= ARGV[2] or now < ARGV[3] + 0 or now >= ARGV[4] + 0 then
  return {2, now, version}
end
local more = end_due(16, retention_ms)

-- The wallets. What a new period grants is counted, and written by the call that it pays.
local wallets, funds, accounts = cjson.decode(ARGV[6]), {}, {}
for i, wallet in ipairs(wallets) do
  local counter = wallet[1]
  local found = call('HMGET', COUNT, counter .. ':b', counter .. ':h', counter .. ':g')
  funds[2 * i - 1], funds[2 * i] = found[1] or '0', found[2] or '0'
  if wallet[3] and found[3] ~= wallet[5] .. ':' .. int(wallet[6]) then
    local account = open_account(counter)
    account.came, account.lapsed = renew(account, wallet)
    accounts[i], funds[2 * i - 1] = account, account.balance
  end
end

-- The first wallet with enough pays the whole call.
local function payer_of(amounts)
  for i, wallet in ipairs(wallets) do
    local amount = amounts[wallet[2]]
    if amount == '0' or fits(funds[2 * i], amount, '0', funds[2 * i - 1]) then return i end
  end
end

local try, told, binding
local last = (#ARGV - 9) / 6
for k = 1, last do
  local at = 4 + 6 * k
  local refusal, body = tonumber(ARGV[at + 2]), ARGV[at + 5]
  local t = {k = k, nano = ARGV[at], tokens = ARGV[at + 1], body = body, budgets = cjson.decode(body)[2], payer = 0}
  t.amounts = unit_amounts(t.nano, t.tokens, '1')
  t.fields, t.values = {}, {}
  for i, b in ipairs(t.budgets) do
    t.fields[2 * i - 1], t.fields[2 * i] = b[1] .. ':s', b[1] .. ':h'
  end
  if #t.fields > 0 then t.values = call('HMGET', COUNT, unpack(t.fields)) end
  -- A refusal that no counter can change comes first, but for that of a call which
  -- no wallet is for: there the budgets are asked before.
  t.reason, t.binds = refusal, 0
  if refusal == 0 or refusal == 10 then
    t.reason, t.binds = weigh(t.budgets, t.values, t.amounts, ARGV[at + 4] ~= '' and cjson.decode(ARGV[at + 4]))
    if not t.reason and refusal == 10 then t.reason, t.binds = 10, 0 end
    if not t.reason and ARGV[at + 3] == '1' and #wallets > 0 then
      t.payer = payer_of(t.amounts)
      if not t.payer then t.reason, t.binds = 10, 0 end
    end
  end
  if not t.reason then
    try = t
    break
  end
  -- The refusal to tell is that of the model that was asked for: with lower limits it is tried first, and last as it is.
  if k == 1 then
    binding = t
    told = t
  elseif k == last and ARGV[14] ~= '' then
    told = t
  end
end

local function values_of(t)
  local values = {unpack(funds)}
  for i = 1, 2 * #t.budgets do values[#values + 1] = t.values[i] or '0' end
  return values
end

if not try then
  if more then end_due(END_BEFORE_REFUSAL, retention_ms) end
  finish()
  if more then return {2, now, version} end
  return {1, now, seq, epoch, told.reason, told.binds, told.k, values_of(told)}
end

local expires, payer, account = now + ARGV[9], try.payer, accounts[try.payer]
local wallet = payer > 0 and wallets[payer] or {'', ''}
if account then append_grant(tenant, wallet, account.came, account.lapsed) end
append('reserve', tenant, id, 'nano', try.nano, 'tokens', try.tokens, 'wallet', wallet[1],
  'wallet_unit', wallet[2], 'body', try.body)

local writes, seen = {}, {}
if payer > 0 then
  local held = add(funds[2 * payer], try.amounts[wallet[2]])
  if account then
    account.held = held
    keep_account(account)
  else
    writes = {wallet[1] .. ':h', held}
  end
end
for i, b in ipairs(try.budgets) do
  local spent, held, unit, w = try.values[2 * i - 1] or '0', try.values[2 * i], b[2], #writes
  local new_held = add(held or '0', try.amounts[unit])
  writes[w + 1], writes[w + 2] = try.fields[2 * i], new_held
  local retire = not held and unit ~= 'c' and retire_at(b[5], retention_ms)
  if retire then call('ZADD', DUE, retire, 'w:' .. b[1]) end
  if try.amounts[unit] ~= '0' then tell(tenant, id, b, add(spent, new_held)) end
  seen[2 * i - 1], seen[2 * i] = spent, held or '0'
end
if #writes > 0 then call('HSET', COUNT, unpack(writes)) end
local reason, binds = binding and binding.reason or 0, binding and binding.binds or 0
local bound = binds > 0 and binding.budgets[binds][1] or ''
write_hold(field, {state = 'O', expires = expires, nano = try.nano, tokens = try.tokens, charged_nano = '0',
  charged_tokens = '0', requests = '0', ended_as = '', drawn = {}, body = try.body, answer = cjson.encode({
    content, now, wallet[1], wallet[2], try.nano, try.tokens, expires, reason, bound, unpack(seen)})})
call('ZADD', DUE, expires, 'r:' .. field)
open = open + 1
finish()
return {0, now, seq, epoch, payer, expires, try.k, reason, binds, values_of(try)}
