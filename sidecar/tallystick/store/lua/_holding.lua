-- What the calls of a script hold: gathered here, and written together at its end.
local made, holds, dues = {}, {}, {} -- records by field; then what HSET and ZADD take
local join = table.concat
local NOBODY = {'', ''}

-- What its budgets hold then, and what was spent and held before.
local function hold_budgets(id, t)
  local values, at, amounts, seen = t.values, t.offset, t.amounts, {}
  for i = 1, #t.budgets do
    local b, n = t.budgets[i], at + 2 * i
    local spent, held, amount, left = values[n - 1] or '0', values[n], amounts[b[2]], t.room[i]
    seen[2 * i - 1], seen[2 * i] = spent, held or '0'
    values[n] = add(held or '0', amount)
    writes[t.fields[n]] = values[n]
    local retire = not held and b[2] ~= 'c' and rare().retire_at(b[5], retention_ms)
    if retire then dues[#dues + 1] = retire; dues[#dues + 1] = 'w:' .. b[1] end
    local near
    if left then
      t.room[i] = left - amount
      near = t.room[i] <= t.tells[i]
    else
      near = (spent + values[n]) * 101 >= (b[6] or b[3]) * (b[7] and (b[7][1] or 1e9) or 50)
    end
    if near and amount ~= '0' then rare().tell(tenant, id, b, spent, values[n]) end
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
  if payer > 0 then
    local held = add(funds[2 * payer], t.amounts[wallet[2]])
    funds[2 * payer] = held
    if account then account.held = held else writes[wallet[1] .. ':h'] = held end
  end
  local seen, why, bound, n = join(hold_budgets(id, t), ' '), '0', '', #holds
  if t ~= first then
    why, bound = int(first.reason), first.binds > 0 and first.budgets[first.binds][1] or ''
  end
  local record = '["O",' .. expires .. ',"' .. nano .. '","' .. tokens .. '","0","0","0","",""]\n["' .. ARGV[at + 1]
    .. '",' .. now_text .. ',"' .. wallet[1] .. '","' .. wallet[2] .. '","' .. nano .. '","' .. tokens .. '",' .. expires
    .. ',' .. why .. ',"' .. bound .. '","' .. seen .. '"]\n' .. body
  holds[n + 1], holds[n + 2], made[field] = field, record, record
  n = #dues
  dues[n + 1], dues[n + 2] = expires, 'r:' .. field
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
