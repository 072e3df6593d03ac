-- What a hold adds to its budgets.

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
    if less(add(was_spent, was_held), add(new_spent, new_held)) then tell(tenant, id, b, new_spent, new_held) end
  end
  if #writes > 0 then call('HSET', COUNT, unpack(writes)) end
end
