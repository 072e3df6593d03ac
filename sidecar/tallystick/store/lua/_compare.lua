-- More of exact integers: comparisons (see _exact).
local function less(a, b)
  return not fits(b, '0', '0', a)
end

local function least(a, b)
  return less(a, b) and a or b
end
