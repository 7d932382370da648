-- Appends events to a user's log and tells the nodes that hold the user's sockets; optionally puts a session
-- on the deny-list first, in the same atomic step.
--
-- KEYS 1 the user's sockets   2 the user's log   3 its meta   4 leases of nodes (sorted set by end, in ms)
--      5 deny-list entry of the session
-- ARGV 1 user id   2 origin: `node:request`, to whom receipts go, or empty
--      3 life of the deny-list entry in ms, or 0 for none   4 length of a log   5 life of a log in ms
--      6 prefix of the nodes' channels   7 session whose sockets are counted
--      then for each event: name, session, 1 if it counts as a version or 0, payload
-- Returns pairs of node and number: where live sockets of that session are.

if tonumber(ARGV[3]) > 0 then redis.call('SET', KEYS[5], '1', 'PX', ARGV[3]) end
for index = 8, #ARGV, 4 do
  append({log = KEYS[2], meta = KEYS[3], sockets = KEYS[1]}, {length = ARGV[4], life = ARGV[5]}, ARGV[6],
    ARGV[1], ARGV[2], ARGV[index], ARGV[index + 1], ARGV[index + 2] == '1', ARGV[index + 3])
end

local now = now_ms()
local counts = {}
for _, value in ipairs(redis.call('HVALS', KEYS[1])) do
  local node, session = string.match(value, '^([^|]+)|(.*)$')
  if session == ARGV[7] then counts[node] = (counts[node] or 0) + 1 end
end
local answer = {}
for node, count in pairs(counts) do
  local lease = redis.call('ZSCORE', KEYS[4], node)
  if lease and tonumber(lease) > now then
    answer[#answer + 1] = node
    answer[#answer + 1] = count
  end
end
return answer
