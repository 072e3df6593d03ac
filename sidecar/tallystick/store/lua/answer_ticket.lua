#!lua flags=allow-oom
-- An administrator's answer to a ticket: an allowance in its budget, group and window, or a no.
--
-- ARGV  1 tenant  2 id  3 approve, or reject  4 amount ('0': no allowance)
--   5 when the allowance ends at the latest (ms, 0: with the window)
--   6 what tells this answer from another one  7 the answer as it is kept
--   8 by whom  9 note  10 retention ms
-- Replies, with the ticket's record by now:
--   {0 ANSWERED, record}   {3 REPLAY, record}: it was answered so before
--   {4 MISMATCH, record}: it was answered otherwise   {5 ENDED}: it ended before   {6 NOT_FOUND}
-- include _begin _counts _exact _amounts _ends _tickets
local tenant, id, kind, amount, latest_end = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local field, retention_ms = tenant .. ':t:' .. id, tonumber(ARGV[10])

begin(tenant)
local value = call('HGET', TICKET, field)
if not value then return {6} end
local t = read_ticket(value)
if t.answer ~= '' then return {t.answer:match('^[^\t]*') == ARGV[6] and 3 or 4, value} end
local ends = stands_until(t.window)
if latest_end > 0 then ends = math.min(ends, latest_end) end
if t.state ~= 'O' or now >= t.expires or ends <= now then return {5} end

t.answer, t.answered, t.expires = ARGV[7], now_text, ends
append(kind, tenant, id, 'budget', t.counter, 'amount', amount, 'expires', int(ends), 'by', ARGV[8], 'note', ARGV[9])
if kind == 'reject' then
  t.state = 'R'
  value = write_ticket(field, t, ends + retention_ms)
elseif amount == '0' then
  t.state, t.expires = 'E', now
  value = write_ticket(field, t, now + retention_ms)
else
  t.state, t.amount = 'A', amount
  writes[t.counter .. ':x'] = add(read_count(t.counter .. ':x') or '0', amount)
  value = write_ticket(field, t, ends)
end
end_due(4, retention_ms)
finish()
return {0, value}
