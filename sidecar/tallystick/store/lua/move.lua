#!lua
-- Takes available funds out of a wallet, for good or into another wallet, once per id.
--
-- ARGV  1 tenant  2 id  3 kind: debit, allocate, reclaim  4 the wallet to take from, as JSON
--   (see _grants)  5 the wallet to put into, or ''  6 amount; of a reclaim '0' is all of it
--   7 reason  8 retention ms
-- Replies: {0 MOVED, now, seq, epoch, amount, lots drawn, account, account}: of the second
--      wallet, where there is one
--   {1 DENY, now, seq, epoch, available}: there is not so much
--   {3 REPLAY, now, seq, epoch, amount, '', account, account}   {4 MISMATCH}
-- include _begin _counts _exact _amounts _ends _receive _grants _move
local tenant, id, kind, amount, retention_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[6], tonumber(ARGV[8])
local from = cjson.decode(ARGV[4])
local to = ARGV[5] ~= '' and cjson.decode(ARGV[5])
local content = table.concat({kind, from[1], to and to[1] or '', amount}, '\t')

begin(tenant)
local before = known(tenant, id)
if before and before:match('^(.*)\t') ~= content then return {4} end
if before then
  return {3, now, seq, epoch, before:match('([^\t]*)$'), '', state_of(open_account(from[1])),
    to and state_of(open_account(to[1])) or ''}
end

local source = kind == 'reclaim' and to[1] or nil
end_due(END_BEFORE_REFUSAL, retention_ms)
local account = open_wallet(from)
local available = minus(account.balance, account.held)
if source then
  local allocated = '0'
  for _, lot in ipairs(account.lots) do
    if lot[5] == source and (lot[3] == 0 or lot[3] > now) then allocated = add(allocated, lot[4]) end
  end
  available = least(available, allocated)
  if amount == '0' then amount = available end
end
if less(available, amount) or not less('0', amount) then
  finish()
  return {1, now, seq, epoch, available}
end

local target = to and open_wallet(to)
append_opened(tenant, from, account)
if target then append_opened(tenant, to, target) end
append(kind, tenant, id, 'wallet', from[1], 'to', to and to[1] or '', 'unit', from[2], 'amount', amount, 'reason', ARGV[7])
-- What has expired and is still there is for open holds.
local drawn = draw(account, amount, function(lot)
  return (lot[3] == 0 or lot[3] > now) and (not source or lot[5] == source)
end)
account.funds, account.balance = minus(account.funds, amount), minus(account.balance, amount)
keep_account(account)
if target then
  for _, lot in ipairs(drawn) do
    receive(target, {id, lot[2], lot[3], lot[4], kind == 'allocate' and from[1] or '', '0'})
  end
  keep_account(target)
end
remember(tenant, id, content .. '\t' .. amount, retention_ms)
finish()
return {0, now, seq, epoch, amount, #drawn > 0 and cjson.encode(drawn) or '', state_of(account), target and state_of(target) or ''}
