-- A hold's record in HOLD, under `TENANT:r:ID`: three lines of JSON, amounts as texts.
--   1  what changes: [state, expires, nano_usd held, tokens held, nano_usd charged,
--      tokens charged, requests charged, content of the Settle (and ` late` where the
--      hold had ended before), lots drawn or '']
--   2  the answer: [content, reserved_at, wallet counter, wallet unit, nano_usd, tokens,
--      expires, why it is not the model that was asked for (a reason, 0), the counter of
--      the budget that bound it, then spent and held of every budget before it]
--   3  the body: [what happens on expiry, budgets, model, price, subject, model asked for];
--      a budget: [counter, unit, ceiling, rank, end, limit where it is another, alerts
--      where they are not the usual ones]
-- States: O open · X expired and charged · E settled by estimate · S settled ·
--         R released, or given back on expiry · T released before it was known
local SESSION_LIFE_MS = 7776000000 -- 90 days

local function read_hold(value)
  local first = value:find('\n', 1, true)
  local second = value:find('\n', first + 1, true)
  local answer, body = value:sub(first + 1, second - 1), value:sub(second + 1)
  local h, a, b = cjson.decode(value:sub(1, first - 1)), cjson.decode(answer), cjson.decode(body)
  return {
    state = h[1], expires = h[2], nano = h[3], tokens = h[4], charged_nano = h[5], charged_tokens = h[6],
    requests = h[7], ended_as = h[8], drawn = h[9] == '' and {} or h[9],
    answer = answer, content = a[1], reserved = a[2], wallet = a[3] or '', wallet_unit = a[4],
    body = body, on_expiry = b[1], budgets = b[2] or {},
  }
end

local function write_hold(field, hold)
  local head = cjson.encode({hold.state, hold.expires, hold.nano, hold.tokens, hold.charged_nano,
    hold.charged_tokens, hold.requests, hold.ended_as, #hold.drawn > 0 and hold.drawn or ''})
  call('HSET', HOLD, field, head .. '\n' .. hold.answer .. '\n' .. hold.body)
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

-- What a rolling window has spent, once `amount` is added to the sub-bucket of the
-- reservation; nothing where that has left the window.
local function spend_rolling(counter, ends, reserved, amount, spent)
  local length, bucket = rolling(ends)
  local index = math.floor(reserved / bucket)
  local leaves = (index + 1) * bucket + length
  if leaves <= now then return spent end
  local field = counter .. ':s@' .. int(index)
  call('HSET', COUNT, field, add(call('HGET', COUNT, field) or '0', amount))
  call('ZADD', DUE, leaves, 'b:' .. field)
  return add(spent, amount)
end

local function unit_amounts(nano, tokens, requests)
  return {u = nano, t = tokens, r = requests, c = requests}
end

-- Adds to the budgets of a hold: by unit, what is held and what is spent (nil: nothing).
local function post(tenant, id, hold, held, spent, retention_ms)
  local fields, writes = {}, {}
  for i, b in ipairs(hold.budgets) do
    fields[2 * i - 1], fields[2 * i] = b[1] .. ':s', b[1] .. ':h'
  end
  local values = #fields > 0 and call('HMGET', COUNT, unpack(fields)) or {}
  for i, b in ipairs(hold.budgets) do
    local counter, unit, ends, w = b[1], b[2], b[5], #writes
    local was_spent, was_held = values[2 * i - 1] or '0', values[2 * i] or '0'
    local new_spent, new_held = was_spent, add(was_held, held[unit])
    if unit == 'c' and new_held == '0' then
      call('HDEL', COUNT, fields[2 * i])
    else
      writes[w + 1], writes[w + 2] = fields[2 * i], new_held
    end
    if unit ~= 'c' and spent then
      if ends:sub(1, 1) == '~' then
        new_spent = spend_rolling(counter, ends, hold.reserved, spent[unit], was_spent)
      else
        new_spent = add(was_spent, spent[unit])
      end
      writes[w + 3], writes[w + 4] = fields[2 * i - 1], new_spent
    end
    local retire = unit ~= 'c' and not values[2 * i] and retire_at(ends, retention_ms)
    if retire then call('ZADD', DUE, retire, 'w:' .. counter) end
    local used = add(new_spent, new_held)
    if less(add(was_spent, was_held), used) then tell(tenant, id, b, used) end
  end
  if #writes > 0 then call('HSET', COUNT, unpack(writes)) end
end

local function total(lots)
  local sum = '0'
  for _, lot in ipairs(lots) do sum = add(sum, lot[4]) end
  return sum
end

-- The wallet of a hold once nano and tokens are charged, and `hold.drawn` with it;
-- nothing is written. nil where no wallet pays.
local function pay(hold, id, nano, tokens)
  if hold.wallet == '' then return nil end
  local in_tokens = hold.wallet_unit == 't'
  local a = open_account(hold.wallet)
  if hold.state == 'O' then a.held = add(a.held, negate(in_tokens and hold.tokens or hold.nano)) end
  local before = in_tokens and hold.charged_tokens or hold.charged_nano
  local change, funds = add(in_tokens and tokens or nano, negate(before)), a.funds
  if less('0', change) then
    a.balance = add(a.balance, negate(change))
    for _, lot in ipairs(draw(a, change)) do hold.drawn[#hold.drawn + 1] = lot end
  elseif change ~= '0' then
    local owed = add(before, negate(total(hold.drawn)))
    hold.drawn = refund(a, negate(change), hold.drawn, owed, 'refund:' .. id)
  end
  lapse(a)
  a.lapsed = add(funds, negate(a.funds))
  return a
end

-- What the ledger keeps of a wallet that was charged.
local function paid(hold, account)
  return 'drawn', #hold.drawn > 0 and cjson.encode(hold.drawn) or '', 'lapsed', account and account.lapsed or '0'
end

-- Ends what is held and brings what is charged to nano, tokens and requests.
local function charge(tenant, id, hold, account, nano, tokens, requests, retention_ms)
  local held = unit_amounts('0', '0', '0')
  if hold.state == 'O' then
    held = unit_amounts(negate(hold.nano), negate(hold.tokens), '-1')
    open = open - 1
  end
  post(tenant, id, hold, held, unit_amounts(add(nano, negate(hold.charged_nano)),
    add(tokens, negate(hold.charged_tokens)), add(requests, negate(hold.requests))), retention_ms)
  if account then keep_account(account) end
  hold.charged_nano, hold.charged_tokens, hold.requests = nano, tokens, requests
end
