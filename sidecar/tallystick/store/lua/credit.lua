#!lua
-- Adds a lot to a wallet, once per credit id.
--
-- ARGV  1 tenant  2 credit id  3 the wallet, as JSON (see _grants)  4 kind  5 amount
--   6 expires (0 never)  7 reason  8 retention ms
-- Replies: {0 CREDITED, now, seq, epoch, account}: funds, balance, held, marker, lots
--   {3 REPLAY, now, seq, epoch, account}   {4 MISMATCH}
-- include _begin _counts _exact _compare _account _lots _receive _grants _move
local tenant, id, line, amount = ARGV[1], ARGV[2], cjson.decode(ARGV[3]), ARGV[5]
local kind, expires = tonumber(ARGV[4]), tonumber(ARGV[6])
local content = table.concat({line[1], amount, kind, int(expires)}, '\t')

begin(tenant)
local before = known(tenant, id)
if before and before ~= content then return {4} end
if before then return {3, now, seq, epoch, state_of(open_account(line[1]))} end

local account = open_wallet(line)
append_opened(tenant, line, account)
receive(account, {id, kind, expires, amount, '', '0'})
local lapsed = lapse(account) -- the lot itself, where it came too late
append('credit', tenant, id, 'wallet', line[1], 'unit', line[2], 'amount', amount, 'lapsed', lapsed,
  'kind_of_lot', kind, 'expires', expires, 'reason', ARGV[7])
keep_account(account)
remember(tenant, id, content, tonumber(ARGV[8]))
finish()
return {0, now, seq, epoch, state_of(account)}
