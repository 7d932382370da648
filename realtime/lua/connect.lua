-- One handshake, in one round trip: the limit on connects, the deny-list, presence, and what was missed.
-- Also how a node puts its sockets back after it lost touch: no limit then, the socket may be listed, and one
-- of a revoked session is not, yet reads what it missed.
--
-- KEYS 1 deny-list entry of the session   2 the user's sockets (hash: socket id -> node|session)
--      3 the user's log   4 its meta (hash: last, version, roles)   5 the node's sockets (set of user|session|socket)
--      6 counter of connects   7 mark that the deny-list is whole
-- ARGV 1 socket id   2 node id   3 session id   4 user id   5 cursor, or -1 for none
--      6 greatest count of connects, or 0 for no limit   7 its window in seconds
--      8 length of a log   9 life of a log in ms   10 prefix of the nodes' channels
--      11 payload of device-status for this session coming online
--      12 member of the node's set   13 1 for a new socket, 0 for one to be put back
-- Returns {status, number, recovered, frames, 1 if the user's roles were ever changed}: status `ok` with the newest
-- event id, `revoked`, `unknown` when the deny-list cannot tell, or `limited` with the milliseconds to wait.

local limit = tonumber(ARGV[6])
if limit > 0 then
  local count = redis.call('INCR', KEYS[6])
  if count == 1 then redis.call('EXPIRE', KEYS[6], ARGV[7]) end
  if count > limit then return {'limited', redis.call('PTTL', KEYS[6]), 0, {}, 0} end
end
local denied = redis.call('EXISTS', KEYS[1]) == 1
if ARGV[13] == '1' then
  if denied then return {'revoked', 0, 0, {}, 0} end
  if redis.call('EXISTS', KEYS[7]) == 0 then return {'unknown', 0, 0, {}, 0} end
end

if not denied then
  -- Told before it is listed: the others hear of it. It reads of itself below, if it reads on from a cursor.
  if sockets_of(KEYS[2], ARGV[3]) == 0 then
    append({log = KEYS[3], meta = KEYS[4], sockets = KEYS[2]}, {length = ARGV[8], life = ARGV[9]}, ARGV[10],
      ARGV[4], '', 'device-status', ARGV[3], false, ARGV[11])
  end
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. '|' .. ARGV[3])
  redis.call('SADD', KEYS[5], ARGV[12])
end

local last = tonumber(redis.call('HGET', KEYS[4], 'last') or '0')
local cursor = tonumber(ARGV[5])
local changed = redis.call('HEXISTS', KEYS[4], 'roles')
if cursor < 0 or cursor > last then return {'ok', last, 0, {}, changed} end
if cursor == last then return {'ok', last, 1, {}, changed} end
local frames = {}
for index, entry in ipairs(redis.call('XRANGE', KEYS[3], as_integer(cursor + 1), '+')) do
  local frame = entry[2][2]
  if index == 1 and tonumber(string.match(frame, '"p":(%d+)')) > cursor then return {'ok', last, 0, {}, changed} end
  frames[index] = frame
end
if #frames == 0 then return {'ok', last, 0, {}, changed} end
return {'ok', last, 1, frames, changed}
