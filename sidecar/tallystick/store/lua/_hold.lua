-- A hold's record in HOLD, under `TENANT:r:ID`: lines of JSON, amounts as texts.
--   1  what changes: [state, expires, nano_usd held, tokens held, nano_usd charged,
--      tokens charged, requests charged, content of the Settle (and ` late` where the
--      hold had ended before), lots drawn or '']
--   2  the answer: [content, reserved_at, wallet counter, wallet unit, nano_usd, tokens,
--      expires, why it is not the model that was asked for (a reason, 0), the counter of
--      the budget that bound it, spent and held of every budget before it, as one text]
--   3  the body: [what happens on expiry, budgets,
--   4  model, price, subject, model asked for];
--      a budget: [counter, unit, ceiling, rank, end, limit where it is another, alerts
--      where they are not the usual ones]
-- States: O open · X expired and charged · E settled by estimate · S settled ·
--         R released, or given back on expiry · T released before it was known
local SESSION_LIFE_MS = 7776000000 -- 90 days

local function read_hold(value)
  local first = value:find('\n', 1, true)
  local second = value:find('\n', first + 1, true)
  local third = value:find('\n', second + 1, true)
  local answer, body = value:sub(first + 1, second - 1), value:sub(second + 1)
  local budgets = third and value:sub(second + 1, third - 2) .. ']' or body
  local h, a, b = cjson.decode(value:sub(1, first - 1)), cjson.decode(answer), cjson.decode(budgets)
  return {
    state = h[1], expires = h[2], nano = h[3], tokens = h[4], charged_nano = h[5], charged_tokens = h[6],
    requests = h[7], ended_as = h[8], drawn = h[9] == '' and {} or h[9],
    answer = answer, content = a[1], reserved = a[2], wallet = a[3] or '', wallet_unit = a[4],
    body = body, on_expiry = b[1], budgets = b[2] or {},
  }
end

-- The lots drawn, as JSON, or ''; `pay` changes them.
local function drawn_text(hold)
  hold.drawn_as = hold.drawn_as or (#hold.drawn > 0 and cjson.encode(hold.drawn) or '')
  return hold.drawn_as
end

local function packed(hold)
  local drawn = drawn_text(hold)
  return '["' .. hold.state .. '",' .. int(hold.expires) .. ',"' .. hold.nano .. '","' .. hold.tokens .. '","'
    .. hold.charged_nano .. '","' .. hold.charged_tokens .. '","' .. hold.requests .. '","' .. hold.ended_as .. '",'
    .. (drawn ~= '' and drawn or '""') .. ']\n' .. hold.answer .. '\n' .. hold.body
end

local function write_hold(field, hold)
  call('HSET', HOLD, field, packed(hold))
end

-- Length and sub-bucket of a rolling window (`~LENGTH+BUCKET`), or nil.
local function rolling(ends)
  if ends:sub(1, 1) ~= '~' then return nil end
  local length, bucket = ends:match('^~(%d+)%+(%d+)$')
  return tonumber(length), tonumber(bucket)
end

-- When a window's counters may go: its end (or now, when that is past) and the
-- time for late settles; `0` never.
local function retire_at(ends, retention_ms)
  if ends == '0' then return nil end
  if ends == 'session' then return now + SESSION_LIFE_MS end
  local length, bucket = rolling(ends)
  if length then return now + length + bucket + retention_ms end
  return math.max(tonumber(ends), now) + retention_ms
end
