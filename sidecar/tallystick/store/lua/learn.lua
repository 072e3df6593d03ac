#!lua
-- Adds to what is known of how long answers are, and tells what is known now.
--
-- In HOLD, under `TENANT:q:MODEL:WORKFLOW`, names percent-encoded: the total, a space, then
-- `BUCKET=COUNT` ascending, joined by commas (`core.learning`). Under `TENANT:q`: the names
-- of the tenant's pairs, a line each; some of them may have ended.
--
-- ARGV  1 tenant  2 retention ms  3 how long an idle pair is kept, ms  4 the most pairs
--   5 the most answers of a pair, above which they fade
--   then for each pair: MODEL:WORKFLOW, its new answers packed alike ('': only asked)
-- Reply: {0, now, seq, epoch, the answers of each pair ('': none are known)}
-- include _begin _counts _exact _amounts _ends
local tenant, retention_ms, idle_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local most_pairs, fade_above = tonumber(ARGV[4]), tonumber(ARGV[5])
local index = tenant .. ':q'

local function field(name)
  return index .. ':' .. name
end

-- From the longest answers down, so that rounding keeps the rare long ones.
local function halve(counts, buckets)
  local seen, kept = 0, 0
  for i = #buckets, 1, -1 do
    local bucket = buckets[i]
    seen = seen + counts[bucket]
    counts[bucket] = math.ceil(seen / 2) - kept
    kept = math.ceil(seen / 2)
  end
  return kept
end

-- Both together, packed; and their total.
local function merge(known, news)
  local counts, buckets, total, cells = {}, {}, 0, {}
  for bucket, count in (known .. ',' .. news):gmatch('(%d+)=(%d+)') do
    bucket = tonumber(bucket)
    if not counts[bucket] then buckets[#buckets + 1] = bucket end
    counts[bucket] = (counts[bucket] or 0) + count
    total = total + count
  end
  table.sort(buckets)
  while total > fade_above do total = halve(counts, buckets) end
  for _, bucket in ipairs(buckets) do
    if counts[bucket] > 0 then cells[#cells + 1] = int(bucket) .. '=' .. int(counts[bucket]) end
  end
  return int(total) .. ' ' .. table.concat(cells, ','), total
end

-- Of all pairs those that are kept, in the order of their use; the rest is dropped.
local function keep_the_most_used(names, totals, is_new, dropped)
  local fields = {}
  for i, name in ipairs(names) do fields[i] = field(name) end
  for i, text in ipairs(call('HMGET', HOLD, unpack(fields))) do
    totals[names[i]] = totals[names[i]] or tonumber((text or '0'):match('^%d+'))
  end
  table.sort(names, function(a, b)
    if totals[a] ~= totals[b] then return totals[a] > totals[b] end
    if is_new[a] ~= is_new[b] then return is_new[a] end
    return a < b
  end)
  for i = #names, most_pairs + 1, -1 do
    local name = table.remove(names)
    dropped[name] = true
    call('HDEL', HOLD, field(name))
    call('ZREM', DUE, 'a:' .. field(name))
  end
end

begin(tenant)
end_due(4, retention_ms)
local merged, totals, is_new, newcomers, dropped, replies = {}, {}, {}, {}, {}, {}
local fields = {}
for i = 6, #ARGV, 2 do fields[#fields + 1] = field(ARGV[i]) end
local before = call('HMGET', HOLD, unpack(fields))
for i = 1, #fields do
  local name, news = ARGV[2 * i + 4], ARGV[2 * i + 5]
  replies[i] = before[i] or ''
  is_new[name] = not before[i]
  if news ~= '' then
    merged[name], totals[name] = merge(replies[i], news)
    if is_new[name] then newcomers[#newcomers + 1] = name end
  end
end

if next(merged) then
  written = true
  local names = {}
  if #newcomers > 0 then
    for name in (call('HGET', HOLD, index) or ''):gmatch('[^\n]+') do
      if not totals[name] or not is_new[name] then names[#names + 1] = name; is_new[name] = false end
    end
    for _, name in ipairs(newcomers) do names[#names + 1] = name end
    if #names > most_pairs then keep_the_most_used(names, totals, is_new, dropped) end
    table.sort(names)
    call('HSET', HOLD, index, table.concat(names, '\n'))
  end
  call('ZADD', DUE, now + idle_ms + 1, 'a:' .. index) -- never before a pair
  for i = 1, #fields do
    local name = ARGV[2 * i + 4]
    if dropped[name] then
      replies[i] = ''
    elseif merged[name] then
      call('HSET', HOLD, fields[i], merged[name])
      call('ZADD', DUE, now + idle_ms, 'a:' .. fields[i])
      replies[i] = merged[name]
    end
  end
end
finish()
return {0, now, seq, epoch, replies}
