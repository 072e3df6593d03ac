-- Moves of funds by an administrator, each once per id: the id's content is kept in
-- HOLD under `TENANT:c:ID`, for the answer to a retry.

-- Opens a wallet (a line of a plan, see _grants) with what its period grants.
local function open_wallet(tenant, line)
  local account = open_account(line[1])
  if line[3] then
    local came, lapsed = renew(account, line)
    if came ~= '0' then append_grant(tenant, line, came, lapsed) end
  end
  return account
end

local function remember(tenant, id, content, retention_ms)
  local field = tenant .. ':c:' .. id
  call('HSET', HOLD, field, content)
  call('ZADD', DUE, now + retention_ms, 'a:' .. field)
end

local function known(tenant, id)
  return call('HGET', HOLD, tenant .. ':c:' .. id)
end

local function state_of(account)
  return {account.funds, account.balance, account.held, account.marker,
    #account.lots > 0 and cjson.encode(account.lots) or ''}
end
