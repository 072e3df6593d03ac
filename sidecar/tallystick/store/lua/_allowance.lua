-- What a call is weighed against where administrators have approved tickets: each budget's
-- ceiling with its allowance; nil where none has one.
local function raised(budgets)
  local fields, limits, any = {}, {}, false
  for i = 1, #budgets do fields[i] = budgets[i][1] .. ':x' end
  local found = read_counts(fields)
  for i = 1, #budgets do
    limits[i] = budgets[i][3]
    if found[i] then limits[i], any = add(limits[i], found[i]), true end
  end
  return any and limits or nil
end
