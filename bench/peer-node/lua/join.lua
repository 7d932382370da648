-- One handshake in one round trip: the deny-list, presence, the log.
--
-- KEYS 1 deny-list entry of the session   2 the user's sockets (hash: socket id -> node|session)
--      3 the user's log   4 its meta (hash: last, version)   5 the node's sockets (set of user|session|socket)
-- ARGV 1 socket id   2 node id   3 session id   4 member of the node's set   5 cursor, or -1 for none
--      6 length of a log   7 its life in ms   8 payload of device-status for this session coming online
-- Returns {1 if the session was revoked, last event id, 1 if recovered, id of the device-status event or 0,
--          the user's other sockets, entries after the cursor}.

if redis.call('EXISTS', KEYS[1]) == 1 then return {1} end

local others, own = count(KEYS[2], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. '|' .. ARGV[3])
redis.call('SADD', KEYS[5], ARGV[4])
local announced = 0
if own == 0 then announced = append(KEYS[3], KEYS[4], ARGV[6], ARGV[7], 'device-status', false, ARGV[8]) end

local last = tonumber(redis.call('HGET', KEYS[4], 'last') or '0')
local cursor = tonumber(ARGV[5])
if cursor < 0 or cursor > last then return {0, last, 0, announced, others, {}} end
local entries = redis.call('XRANGE', KEYS[3], integer(cursor + 1), '+')
local reaches = cursor == last or (entries[1] and tonumber(entries[1][2][2]) <= cursor)
if not reaches then return {0, last, 0, announced, others, {}} end
return {0, last, 1, announced, others, entries}
