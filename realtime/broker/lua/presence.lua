-- A user's sockets.
--
-- KEYS 1 the user's sockets   2 meta of the user's log
-- Returns {version of the session list, socket id, node|session, socket id, node|session, …}.

local answer = redis.call('HGETALL', KEYS[1])
table.insert(answer, 1, tonumber(redis.call('HGET', KEYS[2], 'version') or '0'))
return answer
