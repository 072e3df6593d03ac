-- What a hold charges to its wallet and budgets.
-- The wallet of a hold once nano and tokens are charged, and `hold.drawn` with it;
-- nothing is written. nil where no wallet pays.
local function pay(hold, id, nano, tokens)
  if hold.wallet == '' then return nil end
  hold.drawn_as = nil
  local in_tokens = hold.wallet_unit == 't'
  local a = open_account(hold.wallet)
  local funds = a.funds
  lapse(a) -- what nobody holds is gone, whether the sweeper has come by or not
  if hold.state == 'O' then a.held = minus(a.held, in_tokens and hold.tokens or hold.nano) end
  local before = in_tokens and hold.charged_tokens or hold.charged_nano
  local change = minus(in_tokens and tokens or nano, before)
  if less('0', change) then
    a.balance = minus(a.balance, change)
    for _, lot in ipairs(draw(a, change)) do hold.drawn[#hold.drawn + 1] = lot end
  elseif change ~= '0' then
    local owed = before
    for _, lot in ipairs(hold.drawn) do owed = minus(owed, lot[4]) end
    hold.drawn = refund(a, negate(change), hold.drawn, owed, 'refund:' .. id)
  end
  lapse(a)
  a.lapsed = minus(funds, a.funds)
  return a
end

-- What the ledger keeps of a wallet that was charged.
local function paid(hold, account)
  return 'drawn', drawn_text(hold), 'lapsed', account and account.lapsed or '0'
end

-- Ends what is held and brings what is charged to nano, tokens and requests.
local function charge(tenant, id, hold, account, nano, tokens, requests, retention_ms)
  local held = unit_amounts('0', '0', '0')
  if hold.state == 'O' then
    held = unit_amounts(negate(hold.nano), negate(hold.tokens), '-1')
    open = open - 1
  end
  post(tenant, id, hold, held, unit_amounts(minus(nano, hold.charged_nano),
    minus(tokens, hold.charged_tokens), minus(requests, hold.requests)), retention_ms)
  if account then keep_account(account) end
  hold.charged_nano, hold.charged_tokens, hold.requests = nano, tokens, requests
end
