-- A decimal text in two limbs: billions, and what is below.
local function limbs(text)
  local negative = text:sub(1, 1) == '-'
  local digits = negative and text:sub(2) or text
  local high, low = tonumber(digits:sub(1, -10)) or 0, tonumber(digits:sub(-9))
  if negative then return -high, -low end
  return high, low
end
