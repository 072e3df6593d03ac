#!lua flags=allow-oom
-- Ends holds with what was really spent, or corrects an estimated end, each once and in
-- order, as if it had come alone; together they read and write the counters once.
--
-- ARGV  1 tenant  2 retention ms  then of each:
--   1 id  2 content  3 mode: cost (nano_usd and tokens as given), hold (what is held),
--   none (all back)  4 nano_usd  5 tokens ('': not said, so as held)  6 estimated (1 or 0)
--   7 outcome  8 usage, for the ledger  9 the record out of the tally, once a hold was
--   NOT_FOUND: the store has lost it
--
-- Replies, one for each:
--   {0 SETTLED, `now seq epoch nano_usd tokens held_nano_usd held_tokens`, estimated, late,
--      wallet counter, lots drawn as JSON or ''}
--   {3 REPLAY, …}: the same; nothing changed
--   {4 MISMATCH}   {6 NOT_FOUND}   {7 the tally is too old}
-- include _begin _counts _exact _amounts _ends
local ARGV, FIRST, OF_A_SETTLE = ARGV, 3, 9
local tenant, retention_ms = ARGV[1], tonumber(ARGV[2])
local ended, holds, dues = {}, {}, {} -- records by field; then what HSET and ZADD take

local function answer(code, hold, is_estimated, late)
  local numbers = now_text .. ' ' .. seq_text .. ' ' .. epoch .. ' ' .. hold.charged_nano .. ' ' .. hold.charged_tokens
    .. ' ' .. hold.nano .. ' ' .. hold.tokens
  return {code, numbers, is_estimated and 1 or 0, late and 1 or 0, hold.wallet,
    drawn_text(hold)}
end

-- Charges a hold, or corrects it; `lost`: the record that came with the Settle, or nil.
local function charge_actual(at, field, hold, lost)
  local id, mode, nano, tokens, requests = ARGV[at], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], '1'
  if mode == 'hold' or nano == '' then nano = hold.nano end
  if mode == 'hold' or tokens == '' then tokens = hold.tokens end
  if mode == 'none' then nano, tokens, requests = '0', '0', '0' end
  local late, estimated = hold.state ~= 'O', ARGV[at + 5] == '1'
  local account = pay(hold, id, nano, tokens)
  append('settle', tenant, id, 'nano', nano, 'tokens', tokens, 'requests', requests, 'outcome', ARGV[at + 6],
    'estimated', ARGV[at + 5], 'usage', ARGV[at + 7], 'tally', lost or '', paid(hold, account))
  charge(tenant, id, hold, account, nano, tokens, requests, retention_ms)
  hold.state, hold.ended_as = estimated and 'E' or 'S', late and ARGV[at + 1] .. ' late' or ARGV[at + 1]
  local n, record = #holds, packed(hold)
  holds[n + 1], holds[n + 2], ended[field] = field, record, record
  dues[n + 1], dues[n + 2] = math.max(hold.expires, now) + retention_ms, 'r:' .. field
  return answer(0, hold, estimated, late)
end

local function settle(at, field, value)
  local content, lost = ARGV[at + 1], nil
  if not value or value:sub(3, 3) == 'T' then
    value = ARGV[at + 8]
    lost = value
    if value == '' then return {6} end
  end
  local hold = read_hold(value)
  if lost then
    if now >= hold.expires + retention_ms then return {7} end
    hold.state = 'L'
  end
  local was_estimated = hold.state == 'X' or hold.state == 'E'
  local ended_late = hold.ended_as == content .. ' late'
  if (hold.state == 'S' or hold.state == 'E') and (hold.ended_as == content or ended_late) then
    return answer(3, hold, was_estimated, ended_late)
  end
  if hold.state == 'S' then return {4} end
  if was_estimated and ARGV[at + 5] == '1' then return answer(3, hold, true, true) end
  return charge_actual(at, field, hold, lost)
end

-- Ends a few due entries after each that was charged; most often there are none, and one look is enough.
local fields, replies, known, looked = {}, {}, nil, false
local function end_some()
  if #holds == 0 or looked then return end
  call('HSET', HOLD, unpack(holds))
  call('ZADD', DUE, unpack(dues))
  holds, dues = {}, {}
  local due = due_members(4)
  looked = #due == 0
  if looked then return end
  end_members(due, retention_ms)
  known, ended = call('HMGET', HOLD, unpack(fields)), {}
end

begin(tenant)
for at = FIRST, #ARGV, OF_A_SETTLE do fields[#fields + 1] = tenant .. ':r:' .. ARGV[at] end
known = call('HMGET', HOLD, unpack(fields))
for n = 1, #fields do
  replies[n] = settle(FIRST + (n - 1) * OF_A_SETTLE, fields[n], ended[fields[n]] or known[n])
  end_some()
end
if #holds > 0 then
  call('HSET', HOLD, unpack(holds))
  call('ZADD', DUE, unpack(dues))
end
finish()
return replies
