-- Appends events to a user's log; optionally puts a session on the deny-list in the same atomic step.
--
-- KEYS 1 the user's sockets   2 the user's log   3 its meta   4 leases of nodes (sorted set by end, in ms)
--      5 deny-list entry of the session
-- ARGV 1 length of a log   2 its life in ms   3 life of the deny-list entry in ms, or 0 for none
--      4 session whose sockets are counted   then for each event: its name, 1 if it counts as a version else 0,
--      its payload
-- Returns {the user's sockets, {node, sockets of the session there, ...} of live nodes,
--          {id, version of each event, ...}}.

if ARGV[3] ~= '0' then redis.call('SET', KEYS[5], '1', 'PX', ARGV[3]) end
local appended = {}
for i = 5, #ARGV, 3 do
  local id, version = append(KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[i], ARGV[i + 1] == '1', ARGV[i + 2])
  appended[#appended + 1] = id
  appended[#appended + 1] = version
end

local all, counts = 0, {}
for _, value in ipairs(redis.call('HVALS', KEYS[1])) do
  local node, session = string.match(value, '^([^|]+)|(.*)$')
  all = all + 1
  if session == ARGV[4] then counts[node] = (counts[node] or 0) + 1 end
end
local now, nodes = now_ms(), {}
for node, sockets in pairs(counts) do
  local lease = redis.call('ZSCORE', KEYS[4], node)
  if lease and tonumber(lease) > now then
    nodes[#nodes + 1] = node
    nodes[#nodes + 1] = sockets
  end
end
return {all, nodes, appended}
