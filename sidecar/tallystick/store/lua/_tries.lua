-- The models that a call may use, tried in order against wallets and budgets.
--
-- A wallet's line: {counter, unit}, and its grant (see _grants). What a new period
-- grants is counted here, and written by the first call that it pays.
local WALLETS, TRIES, FIRST_TRY, OF_A_TRY = 6, 7, 9, 6
local wallets, funds, accounts, of_tries = cjson.decode(ARGV[WALLETS]), {}, {}, tonumber(ARGV[TRIES])
local first_call, of_a_call = FIRST_TRY + OF_A_TRY * of_tries, 4 + 3 * of_tries
local asks, more = ARGV[8] == '1', nil -- whether budgets may have allowances; see `end_some`
local many = #ARGV >= first_call + of_a_call

-- Reads the wallets and the budgets of the first try at once.
local function read_first(budgets)
  local fields, n = {}, 0
  for i = 1, #wallets do
    local counter = wallets[i][1]
    fields[n + 1], fields[n + 2] = counter .. ':b', counter .. ':h'
    n = n + 2
    if wallets[i][3] then fields[n + 1], n = counter .. ':g', n + 1 end
  end
  add_budget_fields(fields, budgets)
  local values, at = #fields > 0 and call('HMGET', COUNT, unpack(fields)) or {}, 0
  for i = 1, #wallets do
    local wallet = wallets[i]
    funds[2 * i - 1], funds[2 * i] = values[at + 1] or '0', values[at + 2] or '0'
    at = at + 2
    if wallet[3] then
      at = at + 1
      if values[at] ~= wallet[5] .. ':' .. int(wallet[6]) then
        local account = rare().open_account(wallet[1])
        account.came, account.lapsed = rare().renew(account, wallet)
        if account.came ~= '0' then accounts[i], funds[2 * i - 1] = account, account.balance end
      end
    end
  end
  return fields, values, n
end

-- What a plan says of a try, with the budgets as they stand.
local function read_try(k)
  local at = FIRST_TRY + OF_A_TRY * (k - 1)
  local limits, budgets = ARGV[at + 1], ARGV[at + 3]
  local t = {k = k, pays = ARGV[at] == '1', limits = limits ~= '' and cjson.decode(limits), budgets = cjson.decode(budgets),
    head = ARGV[at + 2] .. budgets .. ARGV[at + 4], tail = ARGV[at + 5], offset = 0, room = {}}
  if k == 1 then
    t.fields, t.values, t.offset = read_first(t.budgets)
  else
    t.fields = add_budget_fields({}, t.budgets)
    t.values = #t.fields > 0 and call('HMGET', COUNT, unpack(t.fields)) or {}
  end
  return t
end

-- A try, with what earlier calls of this script hold.
local tries = {}
local function open_try(k)
  local t = tries[k]
  if t and of_tries == 1 then return t end
  t = t or read_try(k)
  if next(writes) then
    for i = t.offset + 2, #t.fields, 2 do t.values[i] = writes[t.fields[i]] or t.values[i] end
  end
  if many then measure(t) end
  tries[k] = t
  return t
end

-- The first wallet with enough pays the whole call.
local function payer_of(amounts)
  for i = 1, #wallets do
    local amount = amounts[wallets[i][2]]
    if amount == '0' or fits(funds[2 * i], amount, '0', funds[2 * i - 1]) then return i end
  end
end

-- Whether a try fits with what the call takes then: {nano, tokens, refusal}, from `at` on
-- in ARGV. It keeps the wallet that pays, or the reason and what binds. A refusal that no
-- counter can change comes first, but for that of a call which no wallet is for: there
-- the budgets are asked before.
local function try(t, at)
  local refusal = suspended and SUSPENDED or ARGV[at + 2] + 0
  t.nano, t.tokens, t.payer = ARGV[at], ARGV[at + 1], 0
  t.amounts = unit_amounts(t.nano, t.tokens, '1')
  if refusal ~= 0 and refusal ~= NO_FUNDS then
    t.reason, t.binds = refusal, 0
    return false
  end
  t.reason, t.binds = weigh(t.budgets, t.values, t.offset, t.amounts, t.limits, t.room)
  if t.reason and asks and not more and not t.limits then -- an allowance that is due counts no more
    local limits = rare().raised(t.budgets)
    if limits then t.reason, t.binds = weigh(t.budgets, t.values, t.offset, t.amounts, limits) end
  end
  if t.reason then return false end
  if refusal == 0 and t.pays then t.payer = payer_of(t.amounts) end
  if refusal == 0 and t.payer then return true end
  t.reason, t.binds = NO_FUNDS, 0
  return false
end
