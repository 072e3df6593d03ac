-- Everything that ends, ends here. Members of DUE, scored by time:
--   r:TENANT:r:ID  a reservation: an open hold expires; an ended one is forgotten
--   a:FIELD        an answer kept for retries (a credit, an extension), forgotten
--   w:COUNTER      a window's counters, dropped once nothing is held in them
--   b:COUNTER:s@N  a sub-bucket that leaves its rolling window
--   l:COUNTER      a wallet's lots, of which some expire
--   t:FIELD        a ticket: unanswered, or its allowance ends; then it is forgotten
local RETRY_MS = 3600000 -- a window with open holds is looked at again in an hour

-- Most often there are none, so what ends each kind is defined only where there are.
local function end_members(members, retention_ms)
  if #members == 0 then return end
  local function expire(member, field, hold, retention_ms)
    local keep = hold.on_expiry == 'charge'
    local tenant, id = field:match('^([^:]*):r:(.*)$')
    local nano, tokens, requests = '0', '0', '0'
    if keep then nano, tokens, requests = hold.nano, hold.tokens, '1' end
    local account = pay(hold, id, nano, tokens)
    append('expire', tenant, id, 'nano', nano, 'tokens', tokens, 'requests', requests, paid(hold, account))
    charge(tenant, id, hold, account, nano, tokens, requests, retention_ms)
    hold.state = keep and 'X' or 'R'
    write_hold(field, hold)
    call('ZADD', DUE, now + retention_ms, member)
  end

  local function end_reservation(member, field, retention_ms)
    local value = call('HGET', HOLD, field)
    if value and value:sub(3, 3) == 'O' then
      expire(member, field, read_hold(value), retention_ms)
    else
      call('HDEL', HOLD, field)
      call('ZREM', DUE, member)
    end
  end

  local function end_window(member, counter)
    local fields = {counter .. ':h', counter .. ':s', counter .. ':a'}
    local found = read_counts(fields)
    local rolls = counter:find('~%d+$') and (found[2] or '0') ~= '0'
    local till = found[3] and found[3]:match('@(%d+)$')
    if rolls or (till and till + 0 > now) or (found[1] or '0') ~= '0' then
      call('ZADD', DUE, now + RETRY_MS, member)
    else
      for i = 1, 3 do writes[fields[i]] = false end
      call('ZREM', DUE, member)
    end
  end

  local function end_bucket(member, field)
    local spent = field:match('^(.*)@')
    local found = read_counts({field, spent})
    if found[2] then writes[spent] = minus(found[2], found[1] or '0') end
    writes[field] = false
    call('ZREM', DUE, member)
  end

  local function end_lots(counter)
    local account = open_account(counter)
    local lapsed = lapse(account)
    if lapsed ~= '0' then append_lapse(counter, lapsed) end
    keep_account(account)
  end

  for _, member in ipairs(members) do
    local kind, field = member:sub(1, 1), member:sub(3)
    if kind == 'r' then
      end_reservation(member, field, retention_ms)
    elseif kind == 'w' then
      end_window(member, field)
    elseif kind == 'b' then
      end_bucket(member, field)
    elseif kind == 'l' then
      end_lots(field)
    elseif kind == 't' then
      -- include _tickets
      end_ticket(member, field, retention_ms)
    else
      call('HDEL', HOLD, field)
      call('ZREM', DUE, member)
    end
    written = true
  end
end

-- Ends at most `limit` due entries; true when there may be more.
local function end_due(limit, retention_ms)
  local members = due_members(limit)
  end_members(members, retention_ms)
  return #members == limit
end
