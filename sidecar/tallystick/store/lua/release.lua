#!lua flags=allow-oom
-- Gives a hold back whole: nothing was sent. Of an unknown id it is remembered.
--
-- ARGV  1 tenant  2 id  3 retention ms
-- Replies:
--   {0 RELEASED, now, seq, epoch, nano_usd, tokens}
--   {3 REPLAY, now, seq, epoch, nano_usd, tokens}: was released before
--   {5 ENDED}: it was settled
--   {6 UNKNOWN, now, seq, epoch}: a Reserve that arrives now is refused
-- include _begin _counts _exact _amounts _ends
local tenant, id, retention_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local field = tenant .. ':r:' .. id

begin(tenant)
local value = call('HGET', HOLD, field)
if not value then
  append('refuse', tenant, id)
  write_hold(field, {state = 'T', expires = now, nano = '0', tokens = '0', charged_nano = '0',
    charged_tokens = '0', requests = '0', ended_as = '', drawn = {}, answer = '[]', body = '[]'})
  call('ZADD', DUE, now + retention_ms, 'r:' .. field)
  finish()
  return {6, now, seq, epoch}
end
local hold = read_hold(value)
if hold.state == 'T' then return {6, now, seq, epoch} end
if hold.state == 'R' then return {3, now, seq, epoch, hold.nano, hold.tokens} end
if hold.state ~= 'O' and hold.state ~= 'X' then return {5} end

local account = pay(hold, id, '0', '0')
append('release', tenant, id, paid(hold, account))
charge(tenant, id, hold, account, '0', '0', '0', retention_ms)
hold.state = 'R'
write_hold(field, hold)
call('ZADD', DUE, math.max(hold.expires, now) + retention_ms, 'r:' .. field)
end_due(4, retention_ms)
finish()
return {0, now, seq, epoch, hold.nano, hold.tokens}
