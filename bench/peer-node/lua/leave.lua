-- A socket is gone for good. Of several callers one takes it off the list; the one that takes the session's last
-- one appends device-status.
--
-- KEYS 1 the user's sockets   2 the user's log   3 its meta   4 the node's sockets
-- ARGV 1 socket id   2 session id   3 member of the node's set   4 length of a log   5 its life in ms
--      6 payload of device-status going offline
-- Returns {id of the device-status event or 0, the user's other sockets}.

redis.call('SREM', KEYS[4], ARGV[3])
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return {0, 0} end
local others, own = count(KEYS[1], ARGV[2])
if own > 0 then return {0, others} end
return {append(KEYS[2], KEYS[3], ARGV[4], ARGV[5], 'device-status', false, ARGV[6]), others}
