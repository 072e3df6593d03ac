-- Alerts: each threshold once per budget and window (rolling: once in its length).
local ALERTS = {50, 70, 80, 95, 100}

-- Tells of every threshold that a budget has reached and that was not told of before.
local function tell(tenant, id, b, spent, held)
  local counter, limit, alerts, used = b[1], b[6] or b[3], b[7] or ALERTS, add(spent, held)
  if b[2] == 'c' then return end
  -- include _times
  local length = b[5]:match('^~(%d+)')
  local told, till = 0, nil
  local known = read_count(counter .. ':a')
  if known then
    told, till = known:match('^(%d+)@?(%d*)$')
    told = till ~= '' and now >= till + 0 and 0 or told + 0
  end
  local reached, share = told, times(used, 100)
  for _, percent in ipairs(alerts) do
    if percent > reached and not less(share, times(limit, percent)) then
      append('alert', tenant, id, 'budget', counter, 'percent', percent, 'used', used, 'limit', limit)
      reached = percent
    end
  end
  if reached > told then
    local value = int(reached)
    if length then value = value .. '@' .. int(now + length) end
    writes[counter .. ':a'] = value
  end
end
