-- Which sessions of a user are online: those with a socket on a node whose lease lives.
--
-- KEYS 1 the user's sockets   2 leases of nodes   3 meta of the user's log
-- Returns {version of the session list, session ids}.

local now = now_ms()
local online, sessions, alive = {}, {}, {}
for _, value in ipairs(redis.call('HVALS', KEYS[1])) do
  local node, session = string.match(value, '^([^|]+)|(.*)$')
  if alive[node] == nil then
    local lease = redis.call('ZSCORE', KEYS[2], node)
    alive[node] = lease and tonumber(lease) > now or false
  end
  if alive[node] and not online[session] then
    online[session] = true
    sessions[#sessions + 1] = session
  end
end
return {tonumber(redis.call('HGET', KEYS[3], 'version') or '0'), sessions}
