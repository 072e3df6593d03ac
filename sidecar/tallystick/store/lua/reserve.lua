#!lua
-- Checks a call against every wallet and budget, and holds its cost: one step.
--
-- ARGV of the plan:
--   1 tenant  2 policy version  3 valid from  4 valid until (ms, exclusive)
--   5 retention ms  6 number of wallets  7 number of budgets
--   then of each wallet: counter, unit
--   then of each budget: counter, unit, limit, rank, end ('0' never, 'session')
-- ARGV of the call, last:
--   1 id  2 content  3 nano_usd  4 tokens  5 ttl ms  6 refusal ('0' none)
--   7 body: the record's lines from the third on
--
-- Replies, `values` being spent and held (wallets: balance and held) before it:
--   {0 ALLOW, now, seq, epoch, wallet's index or 0, expires, values}
--   {1 DENY, now, seq, epoch, reason, index of the budget or 0, values}
--   {2 AGAIN, now, policy version}: the plan is stale, or more is due
--   {3 REPLAY, record}   {4 MISMATCH}   {5 RELEASED}
-- include _begin _exact _hold _due _weigh
local ARGV = ARGV
local tenant, retention_ms = ARGV[1], tonumber(ARGV[5])
local n_wallets, n_budgets = tonumber(ARGV[6]), tonumber(ARGV[7])
local budgets_at = 8 + 2 * n_wallets
local c = budgets_at + 5 * n_budgets
local id, content, nano, tokens = ARGV[c], ARGV[c + 1], ARGV[c + 2], ARGV[c + 3]
local field = tenant .. ':r:' .. id
local amounts = {u = nano, t = tokens, r = '1', c = '1'}

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

local fields, n = {}, 0
for i = 8, budgets_at - 1, 2 do
  fields[n + 1], fields[n + 2] = ARGV[i] .. ':b', ARGV[i] .. ':h'
  n = n + 2
end
for i = budgets_at, c - 1, 5 do
  fields[n + 1], fields[n + 2] = ARGV[i] .. ':s', ARGV[i] .. ':h'
  n = n + 2
end
local values = n > 0 and call('HMGET', COUNT, unpack(fields)) or {}

-- A refusal that no counter can change comes first, but for that of a call which
-- no wallet is for: there the budgets are asked before.
local refusal, payer, amount = tonumber(ARGV[c + 5]), 0, '0'
local reason, binds = refusal, 0
if refusal == 0 or refusal == 10 then
  reason, binds = weigh(n_budgets, values, 2 * n_wallets + 1, ARGV, budgets_at, amounts)
  if not reason and refusal == 10 then reason, binds = 10, 0 end
end

-- The first wallet with enough pays the whole call.
if not reason and n_wallets > 0 then
  for i = 1, n_wallets do
    amount = amounts[ARGV[7 + 2 * i]]
    local balance, held = values[2 * i - 1] or '0', values[2 * i] or '0'
    if amount == '0' or fits(held, amount, '0', balance) then
      payer = i
      break
    end
  end
  if payer == 0 then reason, binds = 10, 0 end
end

if reason then
  if more then end_due(END_BEFORE_REFUSAL, retention_ms) end
  finish()
  if more then return {2, now, version} end
  return {1, now, seq, epoch, reason, binds, values}
end

local expires = now + tonumber(ARGV[c + 4])
local wallet = payer > 0 and ARGV[6 + 2 * payer] or ''
local wallet_unit = payer > 0 and ARGV[7 + 2 * payer] or ''
local body = ARGV[c + 6]
append('reserve', tenant, id, 'nano', nano, 'tokens', tokens, 'wallet', wallet, 'wallet_unit', wallet_unit,
  'body', body)

local writes, seen = {}, {}
if payer > 0 then
  writes = {fields[2 * payer], add(values[2 * payer] or '0', amount)}
end
for i = 0, n_budgets - 1 do
  local b, v = budgets_at + 5 * i, 2 * n_wallets + 1 + 2 * i
  local held, unit, w = values[v + 1], ARGV[b + 1], #writes
  writes[w + 1], writes[w + 2] = fields[v + 1], add(held or '0', amounts[unit])
  local retire = not held and unit ~= 'c' and retire_at(ARGV[b + 4], retention_ms)
  if retire then call('ZADD', DUE, retire, 'w:' .. ARGV[b]) end
  seen[2 * i + 1], seen[2 * i + 2] = values[v] or '0', held or '0'
end
if #writes > 0 then call('HSET', COUNT, unpack(writes)) end
write_hold(field, {state = 'O', expires = expires, nano = nano, tokens = tokens, charged_nano = '0',
  charged_tokens = '0', requests = '0', ended_as = '', body = body,
  answer = table.concat({content, int(now), wallet, wallet_unit, nano, tokens, int(expires), unpack(seen)}, '\t')})
call('ZADD', DUE, expires, 'r:' .. field)
open = open + 1
finish()
return {0, now, seq, epoch, payer, expires, values}
