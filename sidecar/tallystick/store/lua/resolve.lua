#!lua flags=allow-oom
-- Ends a hold by the word of an administrator, or gives an open one more time. What he
-- says was spent is an estimate: a Settle of the caller corrects it, once.
--
-- ARGV  1 tenant  2 id  3 kind: settle, release, extend  4 nano_usd  5 tokens ('': as held)
--   6 ttl ms  7 by whom  8 reason  9 retention ms
-- Replies, with the hold's record by now:
--   {0 RESOLVED, record}   {3 REPLAY, record}: it was so before, and nothing changed
--   {5 ENDED}: it has ended in another way   {6 NOT_FOUND}
-- include _begin _counts _exact _amounts _ends
local tenant, id, kind, by, reason, retention_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[7], ARGV[8], tonumber(ARGV[9])
local field = tenant .. ':r:' .. id
local hold

local function settle()
  local nano, tokens = ARGV[4], ARGV[5]
  if nano == '' then nano = hold.nano end
  if tokens == '' then tokens = hold.tokens end
  local late = hold.state ~= 'O'
  local account = pay(hold, id, nano, tokens)
  append('settle', tenant, id, 'nano', nano, 'tokens', tokens, 'requests', '1', 'outcome', 'RESOLVED', 'estimated', '1',
    'usage', '', 'tally', '', 'by', by, 'reason', reason, paid(hold, account))
  charge(tenant, id, hold, account, nano, tokens, '1', retention_ms)
  hold.state, hold.ended_as = 'E', 'resolved ' .. ARGV[4] .. '/' .. ARGV[5] .. (late and ' late' or '')
end

local function release()
  local account = pay(hold, id, '0', '0')
  append('release', tenant, id, 'by', by, 'reason', reason, paid(hold, account))
  charge(tenant, id, hold, account, '0', '0', '0', retention_ms)
  hold.state = 'R'
end

-- Whether it is as it is asked for.
local function is_so()
  if kind == 'release' then return hold.state == 'R' end
  if kind == 'extend' then return hold.state == 'O' and hold.expires >= now + ARGV[6] end
  local as = 'resolved ' .. ARGV[4] .. '/' .. ARGV[5]
  return hold.state == 'E' and (hold.ended_as == as or hold.ended_as == as .. ' late')
end

begin(tenant)
local value = call('HGET', HOLD, field)
if not value or value:sub(3, 3) == 'T' then return {6} end
hold = read_hold(value)
if is_so() then return {3, value} end
if hold.state == 'S' or hold.state == 'R' or (kind == 'extend' and hold.state ~= 'O') then return {5} end

local ends
if kind == 'extend' then
  hold.expires = now + ARGV[6]
  ends = hold.expires
  append('extend', tenant, id, 'nano', '0', 'tokens', '0', 'expires', int(ends), 'by', by, 'reason', reason)
else
  if kind == 'settle' then settle() else release() end
  ends = math.max(hold.expires, now) + retention_ms
end
write_hold(field, hold)
call('ZADD', DUE, ends, 'r:' .. field)
value = packed(hold)
end_due(4, retention_ms)
finish()
return {0, value}
