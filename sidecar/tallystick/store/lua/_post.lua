-- What a hold adds to its budgets.

-- What a rolling window has spent, once `amount` is added to the sub-bucket of the
-- reservation; nothing where that has left the window.
local function spend_rolling(counter, ends, reserved, amount, spent)
  local length, bucket = rolling(ends)
  local index = math.floor(reserved / bucket)
  local leaves = (index + 1) * bucket + length
  if leaves <= now then return spent end
  local field = counter .. ':s@' .. int(index)
  writes[field] = add(read_count(field) or '0', amount)
  call('ZADD', DUE, leaves, 'b:' .. field)
  return add(spent, amount)
end

-- Adds to the budgets of a hold: by unit, what is held and what is spent (nil: nothing).
local function post(tenant, id, hold, held, spent, retention_ms)
  local fields, grows = add_budget_fields({}, hold.budgets), {}
  local values = read_counts(fields)
  for i, b in ipairs(hold.budgets) do
    local counter, unit, ends = b[1], b[2], b[5]
    local was_spent, was_held = values[2 * i - 1] or '0', values[2 * i] or '0'
    local new_spent, new_held = was_spent, add(was_held, held[unit])
    writes[fields[2 * i]] = not (unit == 'c' and new_held == '0') and new_held
    if unit ~= 'c' and spent then
      if ends:sub(1, 1) == '~' then
        new_spent = spend_rolling(counter, ends, hold.reserved, spent[unit], was_spent)
      else
        new_spent = add(was_spent, spent[unit])
      end
      writes[fields[2 * i - 1]] = new_spent
    end
    if grows[unit] == nil then -- a call in flight tells of nothing
      grows[unit] = unit ~= 'c' and less('0', spent and add(held[unit], spent[unit]) or held[unit])
    end
    local retire = unit ~= 'c' and not values[2 * i] and retire_at(ends, retention_ms)
    if retire then call('ZADD', DUE, retire, 'w:' .. counter) end
    if grows[unit] and less(add(was_spent, was_held), add(new_spent, new_held)) then
      tell(tenant, id, b, new_spent, new_held)
    end
  end
end
