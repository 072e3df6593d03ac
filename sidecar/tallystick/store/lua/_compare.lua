-- More of exact integers: comparisons and products (see _exact).
local function less(a, b)
  return not fits(b, '0', '0', a)
end

local function least(a, b)
  return less(a, b) and a or b
end

-- text × a whole number of at most three digits
local function times(text, factor)
  if #text < 13 then return format('%d', text * factor) end
  local high, low = limbs(text)
  return add(format('%.0f000000000', high * factor), format('%d', low * factor))
end
