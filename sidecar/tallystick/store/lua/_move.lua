-- Moves of funds by an administrator, each once per id: the id's content is kept in
-- HOLD under `TENANT:c:ID`, for the answer to a retry.

-- Opens a wallet (a line of a plan, see _grants) without what has expired, and with
-- what its period grants; nothing is written.
local function open_wallet(line)
  local account = open_account(line[1])
  account.lapsed, account.came, account.gone = lapse(account), '0', '0'
  if line[3] then account.came, account.gone = renew(account, line) end
  return account
end

-- Tells of what came and went when it was opened.
local function append_opened(tenant, line, account)
  if account.lapsed ~= '0' then append_lapse(line[1], account.lapsed) end
  if account.came ~= '0' then append_grant(tenant, line, account.came, account.gone) end
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
