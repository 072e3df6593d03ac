-- text × a whole number of at most three digits
local function times(text, factor)
  if #text < 13 then return format('%d', text * factor) end
  -- include _limbs
  local high, low = limbs(text)
  return add(format('%.0f000000000', high * factor), format('%d', low * factor))
end
