-- A wallet's funds: lots, how they come, are drawn, and lapse. Mirrors core/lots.py,
-- which says why. A lot: {id, kind, expires (0 never), amount, source, rollover}.
local GRANT_ID, GRANT, PAID = 'grant', 1, 3

local function with_amount(lot, amount)
  return {lot[1], lot[2], lot[3], amount, lot[5], lot[6]}
end

-- `wanted`: tells which lots to draw from; all without it.
local function draw(a, amount, wanted)
  local drawn, kept = {}, {}
  for _, lot in ipairs(a.lots) do
    local part = (not wanted or wanted(lot)) and least(lot[4], amount) or '0'
    amount = minus(amount, part)
    if part ~= '0' then drawn[#drawn + 1] = with_amount(lot, part) end
    if part ~= lot[4] then kept[#kept + 1] = with_amount(lot, minus(lot[4], part)) end
  end
  a.lots = kept
  return drawn
end

-- Undoes a part of a charge; what remains drawn.
local function refund(a, amount, drawn, owed, refund_id)
  -- include _receive
  local function give_back(a, lot)
    a.funds = minus(a.funds, lot[4])
    receive(a, lot)
  end
  local back, kept = least(amount, owed), {unpack(drawn)}
  give_back(a, {refund_id, PAID, 0, back, '', '0'})
  amount = minus(amount, back)
  while amount ~= '0' and #kept > 0 do
    local lot = table.remove(kept)
    back = least(amount, lot[4])
    if back ~= lot[4] then kept[#kept + 1] = with_amount(lot, minus(lot[4], back)) end
    amount = minus(amount, back)
    if lot[3] ~= 0 and lot[3] <= now then a.funds = minus(a.funds, back)
    else give_back(a, with_amount(lot, back)) end
  end
  return kept
end

local function append_lapse(counter, lapsed)
  append('lapse', counter:match('^[^:]*'), counter, 'wallet', counter, 'amount', lapsed)
end

-- Lets go of what has expired, but for what open holds may need; how much.
local function lapse(a, renewing)
  if not a.expires then return '0' end -- none of them ever does
  -- include _receive
  local held, lapsed, carried, kept = a.held, '0', '0', {}
  local rollover = '0'
  if less(held, '0') then held = '0' end
  for _, lot in ipairs(a.lots) do
    if (lot[3] > 0 and lot[3] <= now) or (renewing and lot[1] == GRANT_ID and lot[3] > 0) then
      local needed = least(lot[4], held)
      held = minus(held, needed)
      local left, room = minus(lot[4], needed), minus(lot[6], carried)
      local carry = least(left, less(room, '0') and '0' or room)
      carried, lapsed = add(carried, carry), add(lapsed, minus(left, carry))
      if less(rollover, lot[6]) then rollover = lot[6] end
      if needed ~= '0' then
        kept[#kept + 1] = {lot[1], lot[2], math.min(lot[3], now), needed, lot[5], '0'}
      end
    else
      kept[#kept + 1] = lot
    end
  end
  a.lots = kept
  a.funds, a.balance = minus(a.funds, lapsed), minus(a.balance, lapsed)
  insert(a, {GRANT_ID, GRANT, 0, carried, '', rollover})
  return lapsed
end
