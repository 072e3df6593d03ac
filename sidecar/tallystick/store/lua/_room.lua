-- How much is left of each budget, and how little must be for an alert: numbers, nil
-- where a double can't hold them. Alerts are told exactly; this only finds whom to ask.
-- It pays from the second call of a script on.
local function measure(t)
  t.room, t.tells = {}, {}
  for i = 1, #t.budgets do
    local b, at = t.budgets[i], t.offset + 2 * i
    local spent, held = t.values[at - 1] or '0', t.values[at] or '0'
    if #b[3] < 16 and #spent < 16 and #held < 16 then
      t.room[i] = b[3] - spent - held
      t.tells[i] = b[3] - (b[6] or b[3]) * (b[7] and (b[7][1] or 1e9) or 50) / 101
    end
  end
end
