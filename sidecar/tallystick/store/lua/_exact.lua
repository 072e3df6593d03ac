-- Exact integers as decimal texts. Lua's numbers are doubles: two operands of at
-- most 15 digits are added as such, larger ones in limbs of nine digits. A text in
-- a sum is a number by itself, at half the price of `tonumber`.
-- a + b
local function add(a, b)
  if b == '0' then return a end
  if a == '0' then return b end
  if #a < 16 and #b < 16 then return format('%d', a + b) end
  -- include _limbs
  local high, low = limbs(a)
  local high_b, low_b = limbs(b)
  high, low = high + high_b, low + low_b
  local carry = math.floor(low / 1e9)
  high, low = high + carry, low - carry * 1e9
  local sign = ''
  if high < 0 then -- the value is high·10⁹ + low with 0 ≤ low < 10⁹
    sign, high = '-', -high
    if low > 0 then high, low = high - 1, 1e9 - low end
  end
  if high == 0 then return sign .. format('%.0f', low) end
  return sign .. format('%.0f%09.0f', high, low)
end

local function negate(text)
  if text == '0' then return text end
  if text:sub(1, 1) == '-' then return text:sub(2) end
  return '-' .. text
end

-- a - b
local function minus(a, b)
  if b == '0' then return a end
  if #a < 16 and #b < 16 then return format('%d', a - b) end
  return add(a, negate(b))
end

-- a + b + c ≤ limit. A double tells a limit of 16 digits from any sum of three
-- numbers of 15, even where it can't hold it exactly.
local function fits(a, b, c, limit)
  if #a < 16 and #b < 16 and #c < 16 and #limit < 17 then
    return a + b + c <= limit + 0
  end
  return minus(limit, add(add(a, b), c)):sub(1, 1) ~= '-'
end
