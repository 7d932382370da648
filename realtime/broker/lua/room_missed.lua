-- Reads what a socket has missed of a room's log.
--
-- KEYS 1 the room's log   2 its last id   3 deny-list of the shard, with its mark `since` when the logs are complete
-- ARGV 1 cursor: the id of the last event that the socket has; -1 for none
--      2 age in ms at which an event leaves the log   3 most bytes to return
-- Returns {the room's last id, 1 if nothing after the cursor is missing, else 0, the frames after it}: none unless
-- nothing is missing.

local last, cursor = last_of_room(KEYS[1], KEYS[2]), tonumber(ARGV[1])
-- So that the first event of a room continues where its first sockets entered.
set_last_of_room(KEYS[2], last)
-- After a replica was promoted, what it had not received is missing from the logs.
local complete_since = tonumber(redis.call('ZSCORE', KEYS[3], 'since')) or 0
if cursor < 0 or cursor > last or cursor < complete_since then return {last, 0, {}} end
if cursor == last then return {last, 1, {}} end
local frames, bytes = {}, 0
local start = math.max(cursor + 1, now_us() - ARGV[2] * 1000)
for index, entry in ipairs(redis.call('XRANGE', KEYS[1], as_integer(start) .. '-0', '+')) do
  local frame = entry[2][2]
  bytes = bytes + #frame
  local previous = tonumber(string.match(frame, '"p":(%d+)'))
  if (index == 1 and previous > cursor) or bytes > tonumber(ARGV[3]) then return {last, 0, {}} end
  frames[index] = frame
end
if #frames == 0 then return {last, 0, {}} end
return {last, 1, frames}
