-- A hold's record in HOLD, under `TENANT:r:ID`. Lines:
--   1  what changes, by tabs: state, expires, nano_usd held, tokens held,
--      nano_usd charged, tokens charged, requests charged, content of the Settle
--      (and ` late` where the hold had ended before)
--   2  the answer, by tabs: content, reserved_at, wallet counter, wallet unit,
--      nano_usd, tokens, expires, then spent and held of every budget before it
--   3  the body: what happens on expiry
--   4  budgets, by tabs, five each: counter, unit, limit, rank, end
--   5… model, price, subject, alerts of the budgets (absent: the usual ones)
-- States: O open · X expired and charged · E settled by estimate · S settled ·
--         R released, or given back on expiry · T released before it was known
local SESSION_LIFE_MS = 7776000000 -- 90 days

local function split(text)
  local parts, n = {}, 0
  for part in (text .. '\t'):gmatch('([^\t]*)\t') do
    n = n + 1
    parts[n] = part
  end
  return parts
end

local function read_hold(value)
  local head, answer, body = value:match('^([^\n]*)\n([^\n]*)\n(.*)$')
  local h, a = split(head), split(answer)
  return {
    state = h[1], expires = tonumber(h[2]), nano = h[3], tokens = h[4],
    charged_nano = h[5], charged_tokens = h[6], requests = h[7], ended_as = h[8],
    answer = answer, content = a[1], wallet = a[3], wallet_unit = a[4], body = body,
  }
end

local function write_hold(field, hold)
  local head = table.concat({hold.state, int(hold.expires), hold.nano, hold.tokens, hold.charged_nano,
    hold.charged_tokens, hold.requests, hold.ended_as}, '\t')
  call('HSET', HOLD, field, head .. '\n' .. hold.answer .. '\n' .. hold.body)
end

-- When a window's counters may go: its end (or now, when that is past) and the
-- time for late settles; `0` never.
local function retire_at(window_end, retention_ms)
  if window_end == '0' then return nil end
  if window_end == 'session' then return now + SESSION_LIFE_MS end
  return math.max(tonumber(window_end), now) + retention_ms
end

-- Adds to a hold's counters: by unit, what is held and what is spent (nil: nothing).
local function post(hold, held, spent, retention_ms)
  local budgets = split(hold.body:match('\n([^\n]*)'))
  local fields = {}
  for i = 1, #budgets - 4, 5 do
    fields[#fields + 1] = budgets[i] .. ':s'
    fields[#fields + 1] = budgets[i] .. ':h'
  end
  if hold.wallet ~= '' then
    fields[#fields + 1] = hold.wallet .. ':b'
    fields[#fields + 1] = hold.wallet .. ':h'
  end
  if #fields == 0 then return end
  local values, writes = call('HMGET', COUNT, unpack(fields)), {}
  for i = 1, #fields, 2 do
    local at = (i - 1) / 2 * 5 + 1
    local is_wallet = at > #budgets - 4
    local unit = is_wallet and hold.wallet_unit or budgets[at + 1]
    local new_held = add(values[i + 1] or '0', held[unit])
    if unit == 'c' then
      if new_held == '0' then call('HDEL', COUNT, fields[i + 1])
      else writes[#writes + 1] = fields[i + 1]; writes[#writes + 1] = new_held end
    else
      if spent then
        local new_spent = add(values[i] or '0', is_wallet and negate(spent[unit]) or spent[unit])
        writes[#writes + 1] = fields[i]; writes[#writes + 1] = new_spent
      end
      writes[#writes + 1] = fields[i + 1]; writes[#writes + 1] = new_held
      local retire = not is_wallet and not values[i + 1] and retire_at(budgets[at + 4], retention_ms)
      if retire then call('ZADD', DUE, retire, 'w:' .. budgets[at]) end
    end
  end
  if #writes > 0 then call('HSET', COUNT, unpack(writes)) end
end

-- Ends what is held and brings what is charged to nano, tokens and requests.
local function charge(hold, nano, tokens, requests, retention_ms)
  local is_open = hold.state == 'O'
  local held = {u = '0', t = '0', r = '0', c = '0'}
  if is_open then
    held = {u = negate(hold.nano), t = negate(hold.tokens), r = '-1', c = '-1'}
    open = open - 1
  end
  post(hold, held, {
    u = add(nano, negate(hold.charged_nano)),
    t = add(tokens, negate(hold.charged_tokens)),
    r = add(requests, negate(hold.requests)),
  }, retention_ms)
  hold.charged_nano, hold.charged_tokens, hold.requests = nano, tokens, requests
end
