-- What the calls of a script hold: gathered here, and written together at its end.
local made, holds, dues = {}, {}, {} -- records by field; then what HSET and ZADD take
local join = table.concat
local NOBODY = {'', ''}

local function schedule(score, member)
  local n = #dues
  dues[n + 1], dues[n + 2] = score, member
end

-- What the wallet that pays holds then; the funds before it stay as they are, for the reply.
local function hold_funds(payer, wallet, amounts)
  local account, held = accounts[payer], add(funds[2 * payer], amounts[wallet[2]])
  funds = {unpack(funds)}
  funds[2 * payer] = held
  if account then account.held = held else writes[wallet[1] .. ':h'] = held end
end

-- What its budgets hold then, and what was spent and held before.
local function hold_budgets(id, t)
  local values, at, amounts, seen = t.values, t.offset, t.amounts, {}
  for i = 1, #t.budgets do
    local b = t.budgets[i]
    local spent, held, unit = values[at + 2 * i - 1] or '0', values[at + 2 * i], b[2]
    local new_held = add(held or '0', amounts[unit])
    writes[t.fields[at + 2 * i]] = new_held
    local retire = not held and unit ~= 'c' and rare().retire_at(b[5], retention_ms)
    if retire then schedule(retire, 'w:' .. b[1]) end
    local alerts_at = b[7] and (b[7][1] or 1e9) or 50 -- percent; doubles here, exact where it matters
    if amounts[unit] ~= '0' and (spent + new_held) * 101 >= (b[6] or b[3]) * alerts_at then
      rare().tell(tenant, id, b, spent, new_held)
    end
    seen[2 * i - 1], seen[2 * i] = spent, held or '0'
  end
  return seen
end

-- Holds a call with the try that fits; `first` is the one that was asked for. Its reply.
local function hold(at, field, t, first)
  local id, expires, payer, before, nano, tokens = ARGV[at], int(now + ARGV[at + 2]), t.payer, join(funds, ' '), t.nano, t.tokens
  local wallet, account, body = wallets[payer] or NOBODY, accounts[payer], t.head .. ARGV[at + 3] .. t.tail
  if account and not account.paid then
    rare().append_grant(tenant, wallet, account.came, account.lapsed)
    account.paid = true
  end
  append('reserve', tenant, id, 'nano', nano, 'tokens', tokens, 'wallet', wallet[1], 'wallet_unit', wallet[2],
    'body', body)
  if payer > 0 then hold_funds(payer, wallet, t.amounts) end
  local seen, why, bound, n = join(hold_budgets(id, t), ' '), '0', '', #holds
  if t ~= first then
    why, bound = int(first.reason), first.binds > 0 and first.budgets[first.binds][1] or ''
  end
  local record = '["O",' .. expires .. ',"' .. nano .. '","' .. tokens .. '","0","0","0","",""]\n["' .. ARGV[at + 1]
    .. '",' .. now_text .. ',"' .. wallet[1] .. '","' .. wallet[2] .. '","' .. nano .. '","' .. tokens .. '",' .. expires
    .. ',' .. why .. ',"' .. bound .. '","' .. seen .. '"]\n' .. body
  holds[n + 1], holds[n + 2], made[field] = field, record, record
  schedule(expires, 'r:' .. field)
  open = open + 1
  local numbers = now_text .. ' ' .. seq_text .. ' ' .. epoch .. ' ' .. expires .. ' ' .. before .. ' ' .. seen
  if t == first then return {0, numbers, payer} end
  return {0, numbers, payer, t.k, first.reason, first.binds}
end

local function write_holds()
  if #holds == 0 then return end
  for _, account in pairs(accounts) do
    if account.paid then rare().keep_account(account) end
  end
  call('HSET', HOLD, unpack(holds))
  call('ZADD', DUE, unpack(dues))
  holds, dues = {}, {}
end
