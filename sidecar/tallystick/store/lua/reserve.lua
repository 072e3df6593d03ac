#!lua
-- Checks calls of one plan, one after another, against every wallet and budget, and
-- holds their cost: one step. Where the policy names other models to use instead, they
-- are tried in order. Each call is decided as if it had come alone; together they read
-- and write the counters once.
--
-- ARGV  1 tenant  2 policy version  3 valid from  4 valid until (ms, exclusive)
--   5 retention ms  6 the wallets, as JSON (see _tries)  7 the number of tries
--   8 whether a budget may have an allowance ('1' or '0')
--   then what the plan says of each try, the first being the model that was asked for:
--   1 whether wallets pay ('1' or '0')  2 limits to weigh against instead of the ceilings,
--   as JSON, or ''; a first try that has them is made again without, last
--   3 the record's body up to its budgets  4 these, as JSON (see _hold)  5 up to the subject
--   6 and after it
--   then of each call: 1 id  2 content  3 ttl ms  4 the subject, as JSON
--   and of each of its tries: 1 nano_usd  2 tokens  3 refusal ('0' none)
--
-- Replies, one for each call, `funds` being balance and held of each wallet before it, and
-- `values` spent and held of each budget of the try, as texts of numbers:
--   {0 ALLOW, `now seq epoch expires funds values`, wallet's index or 0} and, where it isn't
--      the first try, which it is, and of the first the reason and index of the budget or 0
--   {1 DENY, now, seq, epoch, reason, index of the budget or 0, try, funds, values}
--   {2 AGAIN, now, policy version}: the plan is stale, or more is due
--   {3 REPLAY, record}   {4 MISMATCH}   {5 RELEASED}
-- include _begin _counts _exact _amounts _weigh
local ARGV, NO_FUNDS, MOST_DUE = ARGV, 10, 16
local tenant, retention_ms = ARGV[1], tonumber(ARGV[5])

-- What most calls don't need: to define it is a sixth of a Reserve.
local defined
local function rare()
  if not defined then
    -- include _ends _receive _grants _allowance
    -- The answer to a call that was held before.
    local function replay(record, content)
      local before = read_hold(record)
      if before.content ~= content and before.state ~= 'T' then return {4} end
      if before.state == 'R' or before.state == 'T' then return {5} end
      return {3, record}
    end
    defined = {replay = replay, end_members = end_members, open_account = open_account,
      keep_account = keep_account, renew = renew, append_grant = append_grant, retire_at = retire_at, tell = tell,
      raised = raised}
  end
  return defined
end
-- include _room _tries _holding

local fields, replies = {}, {}
local known -- the records of these fields
-- `more`: whether more may be due (nil: nobody has looked)

-- Ends what is due, at most `limit`; whatever was read is read anew then.
local function end_some(limit)
  local due = due_members(limit)
  more = #due == limit
  if #due == 0 then return end
  write_holds()
  rare().end_members(due, retention_ms)
  write_counts()
  tries, funds, accounts, known = {}, {}, {}, call('HMGET', HOLD, unpack(fields))
end

local function decide(at, field)
  local first = open_try(1)
  local chosen, told = try(first, at + 4) and first, first
  for k = 2, chosen and 0 or of_tries do
    local t = open_try(k)
    if try(t, at + 1 + 3 * k) then
      chosen = t
      break
    end
    if first.limits then told = t end
  end
  if chosen then return hold(at, field, chosen, first) end
  if more then
    end_some(END_BEFORE_REFUSAL)
    more = true
    return {2, now, version}
  end
  local values = {}
  for i = told.offset + 1, #told.fields do values[#values + 1] = told.values[i] or '0' end
  return {1, now, seq, epoch, told.reason, told.binds, told.k, join(funds, ' '), join(values, ' ')}
end

begin(tenant)
local stale = version ~= ARGV[2] or now < ARGV[3] + 0 or now >= ARGV[4] + 0
for at = first_call, #ARGV, of_a_call do fields[#fields + 1] = tenant .. ':r:' .. ARGV[at] end
known = call('HMGET', HOLD, unpack(fields))
for n = 1, #fields do
  local field, at = fields[n], first_call + (n - 1) * of_a_call
  local record = known[n] or made[field]
  if record then
    replies[n] = rare().replay(record, ARGV[at + 1])
  elseif stale then
    replies[n] = {2, now, version}
  else
    if more ~= false then end_some(MOST_DUE) end
    replies[n] = decide(at, field)
  end
end
write_holds()
finish()
return replies
