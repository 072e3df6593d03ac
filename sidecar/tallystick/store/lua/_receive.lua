-- What comes into a wallet (see _lots).
local function rank_before(a, b) -- whether a is drawn before b, or as soon
  if a[2] ~= b[2] then return a[2] < b[2] end
  return b[3] == 0 or (a[3] ~= 0 and a[3] <= b[3])
end

local function insert(a, lot)
  if lot[4] == '0' then return end
  a.expires = a.expires or lot[3] > 0
  local at = 1
  for i, other in ipairs(a.lots) do
    if other[1] == lot[1] and other[2] == lot[2] and other[3] == lot[3] then
      other[4] = add(other[4], lot[4])
      return
    end
    if rank_before(other, lot) then at = i + 1 end
  end
  table.insert(a.lots, at, lot)
end

local function receive(a, lot)
  local debt = less(a.balance, '0') and negate(a.balance) or '0'
  a.funds, a.balance = add(a.funds, lot[4]), add(a.balance, lot[4])
  insert(a, with_amount(lot, minus(lot[4], least(debt, lot[4]))))
end
