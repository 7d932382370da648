-- One handshake in one round trip: connect limits, deny-list, presence and missed events.
-- Also lists a node's sockets again after Redis may have lost them: then without limits, and the socket may be
-- listed already; a socket of a revoked session is not listed, but still reads the events it missed, as far as the
-- log has them.
--
-- KEYS 1 deny-list (sorted set, with its mark `whole`, `since` when the logs are complete, and whether any of its
--        users has rooms that last: `rooms` if so, else `no rooms`)
--      2 the user's sockets (hash: socket id -> node|session)
--      3 the user's log   4 its meta (hash)
--      5 the node's sockets in the user's shard (set of user|session|socket)
--      6 the last device-status of the user's sessions (hash: session -> id|payload)
--      7 the nodes that watch the user (sorted set)
--      8… counters of connects, if they are limited and may be used by the same script
-- ARGV 1 socket id   2 node id   3 session id   4 user id   5 cursor, or -1 for none
--      6 length of a log   7 life of a log in ms   8 prefix of the nodes' channels
--      9 payload of device-status for this session coming online
--      10 member of the node's set   11 1 for a new socket, 0 to list one again
--      12 most sockets of a user   13 nodes whose sockets do not count, because they are dead: |node|node|
--      14… for each counter, its greatest count and its window in seconds
-- Returns {status, number, recovered, frames, 1 if the user's roles were ever changed, plus 2 if the user may have
-- rooms that last, the other nodes that have sockets of the user, 1 if the socket was not listed before}: status
-- `ok` with the newest event id, `revoked`, `unknown` when the deny-list is not whole, `full`, or `limited` with the
-- milliseconds to wait.

local is_new = ARGV[11] == '1'
for index = 8, #KEYS do
  local limit, seconds = ARGV[2 * index - 2], ARGV[2 * index - 1]
  local count = redis.call('INCR', KEYS[index])
  if count == 1 then redis.call('EXPIRE', KEYS[index], seconds) end
  if count > tonumber(limit) then return {'limited', redis.call('PTTL', KEYS[index]), 0, {}, 0, {}, 0} end
end
local denied = redis.call('ZSCORE', KEYS[1], ARGV[3])
if is_new then
  if denied then return {'revoked', 0, 0, {}, 0, {}, 0} end
  if not redis.call('ZSCORE', KEYS[1], 'whole') then return {'unknown', 0, 0, {}, 0, {}, 0} end
end

local held, of_session, others, seen = 0, 0, {}, {}
for _, value in ipairs(redis.call('HVALS', KEYS[2])) do
  local node, session = string.match(value, '^([^|]+)|(.*)$')
  if not string.find(ARGV[13], '|' .. node .. '|', 1, true) then held = held + 1 end
  if session == ARGV[3] then of_session = of_session + 1 end
  if node ~= ARGV[2] and not seen[node] then
    seen[node] = true
    others[#others + 1] = node
  end
end
if is_new and held >= tonumber(ARGV[12]) then return {'full', 0, 0, {}, 0, others, 0} end

local keys = {log = KEYS[3], meta = KEYS[4], sockets = KEYS[2], states = KEYS[6], watchers = KEYS[7]}
local limits = {length = ARGV[6], life = ARGV[7]}
local cursor = tonumber(ARGV[5])
local known = tonumber(redis.call('HGET', KEYS[4], 'last'))
-- A node's cursor was assigned by a log. If the current log is below it, it is a new one, and the socket would
-- ignore its events as old. A client's cursor is not trusted for this.
if not is_new and (not known or cursor > known) then begin(keys, limits, cursor) end
if is_new and not known then begin(keys, limits, 0) end

local was_missing = 0
if not denied then
  -- Published before listing, so only the other sockets get it live. This one reads it below, if it has a cursor.
  if of_session == 0 then
    announce(keys, limits, ARGV[8], ARGV[4], ARGV[3], ARGV[9])
  end
  was_missing = redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. '|' .. ARGV[3])
  redis.call('SADD', KEYS[5], ARGV[10])
end

local last = tonumber(redis.call('HGET', KEYS[4], 'last'))
local changed = redis.call('HEXISTS', KEYS[4], 'roles')
if redis.call('ZSCORE', KEYS[1], 'rooms') or not redis.call('ZSCORE', KEYS[1], 'no rooms') then
  changed = changed + 2
end
if cursor < 0 or cursor > last then return {'ok', last, 0, {}, changed, others, was_missing} end
-- After a replica was promoted, what it had not received is missing from the logs.
local complete = cursor >= (tonumber(redis.call('ZSCORE', KEYS[1], 'since')) or 0)
if cursor == last then return {'ok', last, complete and 1 or 0, {}, changed, others, was_missing} end
local frames, is_all = missed(keys, ARGV[4], cursor)
local recovered = complete and is_all
if is_new and not recovered then frames = {} end
return {'ok', last, recovered and 1 or 0, frames, changed, others, was_missing}
