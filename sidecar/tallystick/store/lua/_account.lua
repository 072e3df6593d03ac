-- A wallet's account in COUNT: funds, balance, held, the period last granted, its lots
-- (see _lots); and in DUE when the first of them expires.
local function open_account(counter)
  local v = read_counts({counter .. ':f', counter .. ':b', counter .. ':h', counter .. ':g', counter .. ':l'})
  local lots, expires = v[5] and cjson.decode(v[5]) or {}, false
  for _, lot in ipairs(lots) do expires = expires or lot[3] > 0 end
  return {counter = counter, funds = v[1] or '0', balance = v[2] or '0', held = v[3] or '0', marker = v[4] or '',
    lots = lots, had_lots = #lots > 0, expires = expires}
end

local function keep_account(a)
  local c, soonest = a.counter, nil
  writes[c .. ':f'] = a.funds
  writes[c .. ':b'] = a.balance
  writes[c .. ':h'] = a.held
  if a.marker ~= '' then writes[c .. ':g'] = a.marker end
  if #a.lots > 0 then writes[c .. ':l'] = cjson.encode(a.lots) elseif a.had_lots then writes[c .. ':l'] = false end
  for _, lot in ipairs(a.lots) do
    if lot[3] > now and (not soonest or lot[3] < soonest) then soonest = lot[3] end
  end
  if soonest then call('ZADD', DUE, soonest, 'l:' .. c) elseif a.expires then call('ZREM', DUE, 'l:' .. c) end
end
