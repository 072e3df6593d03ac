#!lua
-- Opens a ticket for a call that a budget refused, if it still would and none is open.
--
-- ARGV  1 tenant  2 policy version  3 valid from  4 valid until (ms, exclusive)  5 retention ms
--   6 the budget's counter  7 its ceiling  8 its window's end  9 what the call takes of it
--   10 id of the ticket  11 ttl ms  12 what the caller says
-- Replies, with the ticket of this budget, group and window by now:
--   {0 OPENED, id, record, now}   {3 KNOWN, id, record, now}: it was open, or is rejected
--   {2 AGAIN, now, policy version}: the plan is stale, more is due, or the call would fit
-- include _begin _counts _exact _amounts _ends _tickets
local tenant, retention_ms, counter, ceiling, window = ARGV[1], tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local id = ARGV[10]

begin(tenant)
if version ~= ARGV[2] or now < ARGV[3] + 0 or now >= ARGV[4] + 0 then return {2, now, version} end
if end_due(END_BEFORE_REFUSAL, retention_ms) then
  finish()
  return {2, now, version}
end
local latest = call('HGET', TICKET, counter)
local value = latest and call('HGET', TICKET, tenant .. ':t:' .. latest)
local before = value and read_ticket(value)
if before and (before.state == 'O' or before.state == 'R' and now < before.expires) then
  finish()
  return {3, latest, value, now}
end
local values = read_counts({counter .. ':s', counter .. ':h', counter .. ':x'})
local lacks = minus(add(add(values[1] or '0', values[2] or '0'), ARGV[9]), add(ceiling, values[3] or '0'))
if suspended or not less('0', lacks) then
  finish()
  return {2, now, version}
end
append('ticket', tenant, id, 'budget', counter, 'said', ARGV[12])
local expires = math.min(now + ARGV[11], stands_until(window))
call('HSET', TICKET, counter, id)
value = write_ticket(tenant .. ':t:' .. id, {state = 'O', opened = now_text, expires = expires, answered = '0',
  amount = '0', lacks = lacks, window = window, counter = counter, answer = '', body = ARGV[12]}, expires)
finish()
return {0, id, value, now}
