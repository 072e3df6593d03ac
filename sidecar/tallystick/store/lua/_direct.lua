-- Costs that are charged without a hold (see charge and take). Of each in ARGV, from `at` on:
--   1 id  2 content  3 nano_usd  4 tokens  5 requests  6 usage, for the ledger
--   7 the wallets, as JSON (see _grants)  8 the record's body (see _hold)
local OF_A_CHARGE, NO_FUNDS = 8, 10
local opened = {} -- wallets by counter, as this step finds them; `taken` is what it charges to them

local function read_charge(tenant, at)
  local body, amounts = ARGV[at + 7], unit_amounts(ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
  amounts.c = '0' -- nothing of it is in flight
  return {id = ARGV[at], field = tenant .. ':r:' .. ARGV[at], content = ARGV[at + 1], nano = ARGV[at + 2],
    tokens = ARGV[at + 3], requests = ARGV[at + 4], usage = ARGV[at + 5], wallets = cjson.decode(ARGV[at + 6]),
    body = body, budgets = cjson.decode(body)[2], amounts = amounts}
end

local function wallet_of(line)
  local counter = line[1]
  if not opened[counter] then
    opened[counter] = open_wallet(line)
    opened[counter].taken = '0'
  end
  return opened[counter]
end

-- The first wallet with enough, or nil.
local function payer_of(wallets, amounts)
  for _, line in ipairs(wallets) do
    local a, amount = wallet_of(line), amounts[line[2]]
    if amount == '0' or fits(add(a.held, a.taken), amount, '0', a.balance) then return line end
  end
end

-- Spent and held of each budget.
local function values_of(budgets)
  return read_counts(add_budget_fields({}, budgets))
end

-- Charges it, and keeps the answer for `keep_ms`; its record. The payer's line may be nil.
local function charge_directly(tenant, c, payer, retention_ms, keep_ms)
  if payer and c.amounts[payer[2]] == '0' then payer = nil end
  local wallet = payer or {'', ''}
  local hold = {state = 'L', expires = now, nano = '0', tokens = '0', charged_nano = '0', charged_tokens = '0',
    requests = '0', drawn = {}, reserved = now, wallet = wallet[1], wallet_unit = wallet[2], ended_as = c.content,
    answer = cjson.encode({c.content, now, wallet[1], wallet[2]}), body = c.body, budgets = c.budgets}
  local a = payer and wallet_of(payer)
  if a and a.came ~= '0' then -- it is to be granted before anything is drawn
    append_opened(tenant, payer, a)
    keep_account(a)
    a.came = '0'
  end
  local account = pay(hold, c.id, c.nano, c.tokens)
  append('charge', tenant, c.id, 'nano', c.nano, 'tokens', c.tokens, 'requests', c.requests, 'wallet', wallet[1],
    'wallet_unit', wallet[2], 'usage', c.usage, 'body', c.body, paid(hold, account))
  charge(tenant, c.id, hold, account, c.nano, c.tokens, c.requests, retention_ms)
  hold.state = 'S'
  write_hold(c.field, hold)
  call('ZADD', DUE, now + keep_ms, 'r:' .. c.field)
  return hold
end
