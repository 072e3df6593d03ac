-- The start of every script: the partition's keys, its clock and its sequence.
--
-- KEYS  1 meta  2 count  3 hold  4 due  5 log  6 policy  7 ticket: all of one
--       partition, always all seven, so that every script is cluster-clean.
-- Amounts are decimal texts; times are numbers of Unix milliseconds.
local META, COUNT, HOLD, DUE, LOG, POLICY = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local call, format = redis.call, string.format

local now, now_text, seq, seq_text, epoch, open, version, written
local SUSPENDED, suspended = 1, nil -- the reason's number; what META tells of it, false where the tenant is not

-- A number as text; to format one is dear, so what is needed twice is kept.
local function int(number)
  return format('%d', number)
end

local function begin(tenant)
  local meta = call('HMGET', META, 'seq', 'epoch', 'clock', 'time', 'open', 'policy:' .. tenant,
    'suspended:' .. tenant)
  local time, set = call('TIME'), meta[4]
  seq, epoch, open = tonumber(meta[1] or 0), meta[2] or '1', tonumber(meta[5] or 0)
  version, suspended = meta[6] or '0', meta[7]
  now = time[1] * 1000 + math.floor(time[2] / 1000)
  if set then -- the tests' seam: `+MS` and `-MS` shift the clock, `MS` stops it
    now = set:find('^[+-]') and now + set or tonumber(set)
  end
  now = math.max(now, tonumber(meta[3] or 0)) -- it never goes back
  now_text, seq_text = int(now), meta[1] or '0'
end

-- Appends one ledger entry, before the writes that it tells of: it is the one
-- write that the store can refuse, and a refused one then leaves nothing behind.
local function append(kind, tenant, id, ...)
  seq = seq + 1
  seq_text, written = int(seq), true
  call('XADD', LOG, epoch .. '-' .. seq_text, 'kind', kind, 'at', now_text, 'tenant', tenant, 'id', id, ...)
end

local END_BEFORE_REFUSAL = 500 -- the most that one call ends, so that it stays short

local function due_members(limit)
  return call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, limit)
end
