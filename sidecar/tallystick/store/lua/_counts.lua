-- The counters of COUNT as a script has them, and the end of every script that wrote:
-- what changes is gathered, and written at once.
local counts, writes = {}, {} -- as read, and as they are to be: texts by field, false where there is none
local AT_ONCE = 1000 -- `unpack` can't give many more

-- Adds the fields of these budgets: what each has spent and holds.
local function add_budget_fields(fields, budgets)
  local n = #fields
  for i = 1, #budgets do
    local counter = budgets[i][1]
    fields[n + 1], fields[n + 2] = counter .. ':s', counter .. ':h'
    n = n + 2
  end
  return fields
end

-- The counters of these fields; false where there is none.
local function read_counts(fields)
  local values, missing, n = {}, {}, 0
  for i = 1, #fields do
    local field = fields[i]
    local value = writes[field]
    if value == nil then value = counts[field] end
    if value == nil then
      n = n + 1
      missing[n] = field
    end
    values[i] = value
  end
  if n == 0 then return values end
  local found = call('HMGET', COUNT, unpack(missing))
  for i = 1, n do counts[missing[i]] = found[i] end
  if n == #fields then return found end
  for i = 1, #fields do
    if values[i] == nil then values[i] = counts[fields[i]] end
  end
  return values
end

local function read_count(field)
  return read_counts({field})[1]
end

local function write_counts()
  local sets, drops, n = {}, {}, 0
  for field, value in pairs(writes) do
    if value then
      sets[n + 1], sets[n + 2], n = field, value, n + 2
    else
      drops[#drops + 1] = field
    end
    counts[field] = value
  end
  for i = 1, n, AT_ONCE do call('HSET', COUNT, unpack(sets, i, math.min(i + AT_ONCE - 1, n))) end
  for i = 1, #drops, AT_ONCE do call('HDEL', COUNT, unpack(drops, i, math.min(i + AT_ONCE - 1, #drops))) end
  writes = {}
end

local function finish()
  write_counts()
  if written then
    call('HSET', META, 'seq', seq_text, 'clock', now_text, 'open', open)
  end
end
