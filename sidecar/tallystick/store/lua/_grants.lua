-- Grants, once a period. A wallet's line in a plan: {counter, unit}, and of a wallet
-- with a grant also amount, rollover, span, number of the period, its end.

-- What the periods that went by unseen leave to be carried; at most `rollover`.
local function carried_over(carried, missed, amount, rollover)
  -- include _times
  while missed > 0 and less(carried, rollover) do
    local step = math.min(missed, 999)
    carried, missed = add(carried, times(amount, step)), missed - step
  end
  return least(carried, rollover)
end

-- Grants what this period brings, unless it has; what came and what lapsed.
local function renew(a, line)
  local amount, rollover, span, period, ends = line[3], line[4], line[5], line[6], line[7]
  local last_span, last = a.marker:match('^(.*):(%d+)$')
  local known = last_span == span
  if ends <= now or (known and tonumber(last) >= period) then return '0', '0' end -- a clock may be behind
  local lapsed, carried, kept = lapse(a, true), '0', {}
  for _, lot in ipairs(a.lots) do
    if lot[1] == GRANT_ID and lot[3] == 0 then carried = lot[4] else kept[#kept + 1] = lot end
  end
  a.lots = kept
  local missed = known and period - last - 1 or 0
  local carry = carried_over(carried, missed, amount, rollover)
  local came, gone = amount, minus(carried, carry)
  if less(gone, '0') then came, gone = minus(amount, gone), '0' end
  lapsed = add(lapsed, gone)
  a.funds, a.balance = minus(a.funds, carried), minus(a.balance, carried)
  receive(a, {GRANT_ID, GRANT, ends, add(amount, carry), '', rollover})
  a.marker = span .. ':' .. int(period)
  return came, lapsed
end

-- The ledger's entry of a renewal.
local function append_grant(tenant, line, came, lapsed)
  append('grant', tenant, line[1], 'wallet', line[1], 'unit', line[2], 'amount', came, 'lapsed', lapsed,
    'expires', line[7])
end
