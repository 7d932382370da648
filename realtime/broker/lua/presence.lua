-- A user's online sessions: those with a socket on a node with a valid lease.
--
-- KEYS 1 the user's sockets   2 leases of nodes   3 meta of the user's log
-- Returns {version of the session list, session ids, sockets whose node has no lease}.

local online, sessions = {}, {}
local orphans = living(KEYS[1], KEYS[2], function(_, session)
  if not online[session] then
    online[session] = true
    sessions[#sessions + 1] = session
  end
end)
return {tonumber(redis.call('HGET', KEYS[3], 'version') or '0'), sessions, orphans}
