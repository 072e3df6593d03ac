-- Tickets (`core.tickets`): a record is a line of fields with tabs between (state, opened,
-- expires, answered, amount, what the call lacked, the window's end, the budget's counter), the answer, and what
-- the caller said. What is approved stands in the counter's `:x` until the ticket ends.
local TICKET = KEYS[7]

local function read_ticket(value)
  local t = {}
  t.state, t.opened, t.expires, t.answered, t.amount, t.lacks, t.window, t.counter, t.answer, t.body =
    value:match('^(%u)\t(%d+)\t(%d+)\t(%d+)\t(%d+)\t(%d+)\t([^\t]*)\t([^\n]*)\n([^\n]*)\n(.*)$')
  t.expires = t.expires + 0
  return t
end

local function ticket_text(t)
  return table.concat({t.state, t.opened, int(t.expires), t.answered, t.amount, t.lacks, t.window, t.counter}, '\t')
    .. '\n' .. t.answer .. '\n' .. t.body
end

local function write_ticket(field, t, due)
  local value = ticket_text(t)
  call('HSET', TICKET, field, value)
  call('ZADD', DUE, int(due), 't:' .. field)
  return value
end

local function end_ticket(member, field, retention_ms)
  local tenant, id = field:match('^([^:]*):t:(.*)$')
  local t = read_ticket(call('HGET', TICKET, field))
  if t.state == 'O' or t.state == 'A' then
    append('ticket_end', tenant, id, 'budget', t.counter, 'amount', t.amount)
    if t.state == 'A' then
      local name = t.counter .. ':x'
      local left = minus(read_count(name) or '0', t.amount)
      writes[name] = left ~= '0' and left
    end
    t.state = t.state == 'A' and 'E' or 'X'
    write_ticket(field, t, now + retention_ms)
  else
    call('HDEL', TICKET, field)
    if call('HGET', TICKET, t.counter) == id then call('HDEL', TICKET, t.counter) end
    call('ZREM', DUE, member)
  end
end

-- Until when an answer stands in a window that ends so.
local NO_WINDOW_MS = 7776000000
local function stands_until(window)
  local length = window:match('^~(%d+)')
  if length then return now + length end
  local ends = tonumber(window) or 0
  return ends > 0 and ends or now + NO_WINDOW_MS
end
