-- Appends an event to a room's log and publishes it to nodes.
--
-- The log is a stream; an entry's id is `N-0` with the event's id N, its field `frame` the frame:
--   {"r": room, "i": id, "p": id of the previous one, "e": event, "o": origin, "d": payload, "m": tag (seal.py)}
-- and its field `bytes` the bytes of all frames until this one, also of those that have left the log.
-- Ids are as in a user's log (append.lua): microseconds of the server's clock, or above; a lost log restarts above
-- the ids that it had.
--
-- KEYS 1 the room's log   2 its last id
--      3 the id of the event that was appended for this request, if it is to be appended once
-- ARGV 1 room   2 origin: `node:request` that receipts go to, or empty   3 event   4 payload
--      5 most events of a log   6 age in ms at which an event leaves it   7 most bytes of a log
--      8 prefix of the nodes' channels; then the ids of the nodes
-- Returns {the event's id, 1, or 0 if it was appended before}.

if KEYS[3] then
  local earlier = redis.call('GET', KEYS[3])
  if earlier then return {earlier, 0} end
end
local previous = last_of_room(KEYS[1], KEYS[2])
local id = math.max(previous + 1, now_us())
local frame = '{"r":' .. cjson.encode(ARGV[1]) .. ',"i":' .. as_integer(id) .. ',"p":' .. as_integer(previous)
  .. ',"e":"' .. ARGV[3] .. '","o":"' .. ARGV[2] .. '","d":' .. ARGV[4] .. '}'

local function first(range)
  local entry = range[1]
  if not entry then return nil end
  return entry[1], #entry[2][2], tonumber(entry[2][4]) or 0
end

local _, _, bytes = first(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1))
bytes = (bytes or 0) + #frame
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[5], as_integer(id) .. '-0', 'frame', frame, 'bytes', as_integer(bytes))
redis.call('XTRIM', KEYS[1], 'MINID', as_integer(math.max(id - ARGV[6] * 1000, 0)) .. '-0')
while true do
  local oldest, length, until_it = first(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1))
  if bytes - until_it + length <= tonumber(ARGV[7]) or oldest == as_integer(id) .. '-0' then break end
  redis.call('XDEL', KEYS[1], oldest)
end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
set_last_of_room(KEYS[2], id)
if KEYS[3] then redis.call('SET', KEYS[3], as_integer(id), 'PX', ONCE_MS) end
for index = 9, #ARGV do redis.call('SPUBLISH', ARGV[8] .. ARGV[index], frame) end
return {id, 1}
