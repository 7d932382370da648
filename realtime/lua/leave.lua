-- A socket is gone for good: its node waited for a return, or another node clears up after a dead one.
-- Exactly one caller takes the socket off the list; the one that takes the session's last one announces it.
--
-- KEYS 1 the user's sockets   2 the user's log   3 its meta   4 the node's sockets
-- ARGV 1 socket id   2 session id   3 user id   4 member of the node's set   5 length of a log
--      6 life of a log in ms   7 prefix of the nodes' channels   8 payload of device-status going offline
-- Returns 1 when the device went offline by this, else 0.

redis.call('SREM', KEYS[4], ARGV[4])
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
if sockets_of(KEYS[1], ARGV[2]) > 0 then return 0 end
append({log = KEYS[2], meta = KEYS[3], sockets = KEYS[1]}, {length = ARGV[5], life = ARGV[6]}, ARGV[7],
  ARGV[3], '', 'device-status', ARGV[2], false, ARGV[8])
return 1
