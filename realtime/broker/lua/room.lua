-- Appends an event to a room's log and publishes it to nodes.
--
-- The log is a stream; an entry's id is `N-0` with the event's id N, its only field the frame:
--   {"r": room, "i": id, "p": id of the previous one, "e": event, "o": origin, "d": payload, "m": tag (seal.py)}
-- Ids are as in a user's log (append.lua): microseconds of the server's clock, or above; a lost log restarts above
-- the ids that it had.
--
-- KEYS 1 the room's log
-- ARGV 1 room   2 origin: `node:request` that receipts go to   3 event   4 payload
--      5 most events of a log   6 age in ms at which an event leaves it   7 prefix of the nodes' channels
--      then the ids of the nodes
-- Returns the event's id.

local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local previous = newest and tonumber(string.match(newest[1], '^%d+')) or now_us() + AHEAD_US
local id = math.max(previous + 1, now_us())
local frame = '{"r":' .. cjson.encode(ARGV[1]) .. ',"i":' .. as_integer(id) .. ',"p":' .. as_integer(previous)
  .. ',"e":"' .. ARGV[3] .. '","o":"' .. ARGV[2] .. '","d":' .. ARGV[4] .. '}'
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[5], as_integer(id) .. '-0', 'frame', frame)
redis.call('XTRIM', KEYS[1], 'MINID', as_integer(math.max(id - ARGV[6] * 1000, 0)) .. '-0')
redis.call('PEXPIRE', KEYS[1], ARGV[6])
for index = 8, #ARGV do redis.call('SPUBLISH', ARGV[7] .. ARGV[index], frame) end
return id
