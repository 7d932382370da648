-- Unlists a disconnected socket: its node has waited for a reconnect, or another node cleans up after a dead one.
-- Exactly one caller unlists the socket; unlisting the session's last socket publishes `device-status`.
--
-- KEYS 1 the user's sockets   2 the user's log   3 its meta   4 the node's sockets in the user's shard
--      5 the last device-status of the user's sessions   6 the nodes that watch the user (sorted set)
-- ARGV 1 socket id   2 session id   3 user id   4 member of the node's set   5 life of a log in ms
--      6 prefix of the nodes' channels   7 payload of device-status going offline
--      8 1 if cleanup of the socket is complete; 0 keeps it in the node's set
-- Returns 1 if the device went offline; 2 if it has no socket, but this one was not listed: another caller may have
-- unlisted it, or Redis may have lost it; else 0.

if ARGV[8] == '1' then redis.call('SREM', KEYS[4], ARGV[4]) end
local was_listed = redis.call('HDEL', KEYS[1], ARGV[1]) == 1
if sockets_of(KEYS[1], ARGV[2]) > 0 then return 0 end
if not was_listed then return 2 end
local keys = {log = KEYS[2], meta = KEYS[3], sockets = KEYS[1], states = KEYS[5], watchers = KEYS[6]}
announce(keys, {life = ARGV[5]}, ARGV[6], ARGV[3], ARGV[2], ARGV[7])
return 1
