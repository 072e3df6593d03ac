#!lua
-- Gives an open hold more time, more money, or both.
--
-- ARGV  1 tenant  2 id  3 extension id, '' without money  4 policy version
--   5 retention ms  6 ttl ms  7 nano_usd more  8 tokens more
--   9 of each budget of the hold, in its order: {ceiling, rank}, as JSON
-- Replies:
--   {0 ALLOW, now, seq, epoch, expires, nano_usd, tokens}: what is held in all
--   {1 DENY, now, seq, epoch, reason, index of the budget or 0, values}: spent and
--      held of each budget, then balance and held of the wallet
--   {2 AGAIN, now, policy version}   {4 MISMATCH}: the extension id added another amount
--   {5 ENDED}   {6 NOT_FOUND}
-- include _begin _counts _exact _amounts _ends _weigh
local tenant, id, extension, retention_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
local nano, tokens = ARGV[7], ARGV[8]
local field = tenant .. ':r:' .. id
local seen = tenant .. ':e:' .. id .. '\t' .. extension

begin(tenant)
local value = call('HGET', HOLD, field)
if not value or value:sub(3, 3) == 'T' then return {6} end
local hold = read_hold(value)
if hold.state ~= 'O' then return {5} end
local content = nano .. '\t' .. tokens
local known = extension ~= '' and call('HGET', HOLD, seen)
if known and known ~= content then return {4} end
local adds = extension ~= '' and not known
if adds and version ~= ARGV[4] then return {2, now, version} end

if adds then
  local more = end_due(16, retention_ms)
  value = call('HGET', HOLD, field)
  hold = read_hold(value) -- it may have been due itself
  if hold.state ~= 'O' then
    finish()
    return {5}
  end
  local budgets, fields, limits = {}, {}, cjson.decode(ARGV[9])
  local n = #hold.budgets
  for i, b in ipairs(hold.budgets) do
    budgets[i] = {b[1], b[2], limits[i][1], limits[i][2]}
    fields[2 * i - 1], fields[2 * i] = b[1] .. ':s', b[1] .. ':h'
  end
  if hold.wallet ~= '' then
    fields[#fields + 1] = hold.wallet .. ':b'
    fields[#fields + 1] = hold.wallet .. ':h'
  end
  local values = read_counts(fields)
  -- Neither a request nor a call in flight is added by an extension.
  local amounts = unit_amounts(nano, tokens, '0')
  local reason, binds = SUSPENDED, 0
  if not suspended then reason, binds = weigh(budgets, values, 0, amounts) end
  if not reason and hold.wallet ~= '' then
    local amount = amounts[hold.wallet_unit]
    if amount ~= '0' and not fits(values[2 * n + 2] or '0', amount, '0', values[2 * n + 1] or '0') then
      reason, binds = 10, 0
    end
  end
  if reason then
    if more then end_due(END_BEFORE_REFUSAL, retention_ms) end
    finish()
    if more then return {2, now, version} end
    for i = 1, #fields do values[i] = values[i] or '0' end
    return {1, now, seq, epoch, reason, binds, values}
  end
  append('extend', tenant, id, 'nano', nano, 'tokens', tokens)
  post(tenant, id, hold, amounts, nil, retention_ms)
  if hold.wallet ~= '' then
    writes[hold.wallet .. ':h'] = add(values[2 * n + 2] or '0', amounts[hold.wallet_unit])
  end
  hold.nano, hold.tokens = add(hold.nano, nano), add(hold.tokens, tokens)
  call('HSET', HOLD, seen, content)
  call('ZADD', DUE, now + retention_ms, 'a:' .. seen)
end

written = true
hold.expires = math.max(hold.expires, now + tonumber(ARGV[6]))
write_hold(field, hold)
call('ZADD', DUE, hold.expires, 'r:' .. field)
finish()
return {0, now, seq, epoch, hold.expires, hold.nano, hold.tokens}
