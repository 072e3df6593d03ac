#!lua
-- Says under which namespace a tenant's shadow is kept, or that it has none any more.
--
-- ARGV  1 tenant  2 the namespace, if it has none yet; '' takes it away  3 stamp of this change
--   4 by whom  5 comment
-- In partition 0's META: `shadow:TENANT` → namespace, `shadows` → the stamp of the last change.
-- Replies, with the namespace by now ('': none): {0 CHANGED, namespace}   {3 REPLAY, namespace}
-- include _begin _counts
local tenant, wanted = ARGV[1], ARGV[2]
local field = 'shadow:' .. tenant

begin(tenant)
local kept = call('HGET', META, field) or ''
if (wanted == '') == (kept == '') then return {3, kept} end
append('shadow', tenant, tenant, 'namespace', wanted, 'by', ARGV[4], 'comment', ARGV[5])
if wanted == '' then
  call('HDEL', META, field)
  call('HSET', META, 'shadows', ARGV[3])
else
  call('HSET', META, field, wanted, 'shadows', ARGV[3])
end
finish()
return {0, wanted}
