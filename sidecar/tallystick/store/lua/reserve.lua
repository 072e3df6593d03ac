#!lua
-- Checks a call against every wallet and budget, and holds its cost: one step.
-- Where the policy names other models to use instead, they are tried in order.
--
-- ARGV  1 tenant  2 policy version  3 valid from  4 valid until (ms, exclusive)
--   5 retention ms  6 the wallets, as JSON (see _tries)  7 id  8 content  9 ttl ms
--   then of each try, the first being the model that was asked for:
--   1 nano_usd  2 tokens  3 refusal ('0' none)  4 whether wallets pay ('1' or '0')
--   5 limits to weigh against instead of the ceilings, as JSON, or ''; a first try that
--   has them is made again without, last
--   6 the record's body, which names the budgets (see _hold)
--
-- Replies, `funds` being balance and held of each wallet before it, and `values` spent
-- and held of each budget of the try, from `offset` on:
--   {0 ALLOW, now, seq, epoch, wallet's index or 0, expires, try, reason, binds, funds,
--      values, offset}: reason and binds say why it isn't the first try
--   {1 DENY, now, seq, epoch, reason, index of the budget or 0, try, funds, values, offset}
--   {2 AGAIN, now, policy version}: the plan is stale, or more is due
--   {3 REPLAY, record}   {4 MISMATCH}   {5 RELEASED}
-- include _begin _exact _amounts _weigh
local ARGV, NO_FUNDS, MOST_DUE = ARGV, 10, 16
local tenant, retention_ms, id, content = ARGV[1], tonumber(ARGV[5]), ARGV[7], ARGV[8]
local field = tenant .. ':r:' .. id

-- What most calls don't need: to define it is a sixth of a Reserve.
local defined
local function rare()
  if not defined then
    -- include _ends _grants
    defined = {read_hold = read_hold, end_members = end_members, end_due = end_due, open_account = open_account,
      keep_account = keep_account, renew = renew, append_grant = append_grant, retire_at = retire_at, tell = tell}
  end
  return defined
end
-- include _tries

local known = call('HGET', HOLD, field)
if known then
  local hold = rare().read_hold(known)
  if hold.content ~= content and hold.state ~= 'T' then return {4} end
  if hold.state == 'R' or hold.state == 'T' then return {5} end
  return {3, known}
end

begin(tenant)
if version ~= ARGV[2] or now < ARGV[3] + 0 or now >= ARGV[4] + 0 then
  return {2, now, version}
end
local due = due_members(MOST_DUE)
if #due > 0 then rare().end_members(due, retention_ms) end
local more = #due == MOST_DUE

local first = read_try(1)
local last, chosen, told = (#ARGV - FIRST_TRY + 1) / OF_A_TRY, try(first) and first, first
for k = 2, chosen and 0 or last do
  local t = read_try(k)
  if try(t) then
    chosen = t
    break
  end
  if first.limits then told = t end
end

if not chosen then
  if more then rare().end_due(END_BEFORE_REFUSAL, retention_ms) end
  finish()
  if more then return {2, now, version} end
  return {1, now, seq, epoch, told.reason, told.binds, told.k, funds, told.values, told.offset}
end

local expires, payer, amounts, values, at = now + ARGV[9], chosen.payer, chosen.amounts, chosen.values, chosen.offset
local wallet, account = payer > 0 and wallets[payer] or {'', ''}, accounts[payer]
if account then rare().append_grant(tenant, wallet, account.came, account.lapsed) end
append('reserve', tenant, id, 'nano', chosen.nano, 'tokens', chosen.tokens, 'wallet', wallet[1],
  'wallet_unit', wallet[2], 'body', chosen.body)

local writes, n, seen = {}, 0, {}
if payer > 0 then
  local held = add(funds[2 * payer], amounts[wallet[2]])
  if account then
    account.held = held
    rare().keep_account(account)
  else
    writes[1], writes[2], n = wallet[1] .. ':h', held, 2
  end
end
for i = 1, #chosen.budgets do
  local b = chosen.budgets[i]
  local spent, held, unit = values[at + 2 * i - 1] or '0', values[at + 2 * i], b[2]
  local new_held = add(held or '0', amounts[unit])
  writes[n + 1], writes[n + 2], n = chosen.fields[at + 2 * i], new_held, n + 2
  local retire = not held and unit ~= 'c' and rare().retire_at(b[5], retention_ms)
  if retire then call('ZADD', DUE, retire, 'w:' .. b[1]) end
  local alerts_at = b[7] and (b[7][1] or 1e9) or 50 -- percent; doubles here, exact where it matters
  if amounts[unit] ~= '0' and (spent + new_held) * 101 >= (b[6] or b[3]) * alerts_at then
    rare().tell(tenant, id, b, spent, new_held)
  end
  seen[2 * i - 1], seen[2 * i] = spent, held or '0'
end
if n > 0 then call('HSET', COUNT, unpack(writes)) end
local passed = chosen ~= first
local bound = passed and first.binds > 0 and first.budgets[first.binds][1] or ''
local head = '["O",' .. int(expires) .. ',"' .. chosen.nano .. '","' .. chosen.tokens .. '","0","0","0","",""]\n'
local answer = cjson.encode({content, now, wallet[1], wallet[2], chosen.nano, chosen.tokens, expires,
  passed and first.reason or 0, bound, unpack(seen)})
call('HSET', HOLD, field, head .. answer .. '\n' .. chosen.body)
call('ZADD', DUE, expires, 'r:' .. field)
open = open + 1
finish()
return {0, now, seq, epoch, payer, expires, chosen.k, passed and first.reason or 0, passed and first.binds or 0,
  funds, values, at}
