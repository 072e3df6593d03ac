-- The tokens of a store, in partition 0's META: `token:FIELD` → record, and `tokens` → the
-- stamp of the last change.

-- {field, record, …}, in no order.
local function tokens()
  local all, found = redis.call('HGETALL', KEYS[1]), {}
  for i = 1, #all, 2 do
    if all[i]:sub(1, 6) == 'token:' then
      found[#found + 1] = all[i]:sub(7)
      found[#found + 1] = all[i + 1]
    end
  end
  return found
end
