-- Amounts by unit; a request is a call in flight, too.
local function unit_amounts(nano, tokens, requests)
  return {u = nano, t = tokens, r = requests, c = requests}
end
