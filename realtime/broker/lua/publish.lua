-- Appends events to a user's log and publishes them to the nodes that hold the user's sockets; optionally puts a
-- session on the deny-list first, in the same atomic step.
--
-- KEYS 1 the user's sockets   2 the user's log   3 its meta
--      4 deny-list (sorted set of sessions by the end of their entry, in ms)
--      5 the id of the event that was appended for this request, if it is to be served once
-- ARGV 1 user id   2 origin: `node:request` that receipts go to, or empty
--      3 life of the deny-list entry in ms, or 0 for none   4 length of a log   5 life of a log in ms
--      6 prefix of the nodes' channels   7 session whose sockets are counted, or * for all
--      then for each event: name, session, 1 if it increments the version, else 0, payload
-- Returns {id of the last event; then pairs of node id and number of listed sockets that count}.

if KEYS[5] then
  local earlier = redis.call('GET', KEYS[5])
  if earlier then return {earlier} end
end
local now = now_ms()
if tonumber(ARGV[3]) > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', as_integer(now))
  redis.call('ZADD', KEYS[4], as_integer(now + tonumber(ARGV[3])), ARGV[7])
end
local last
for index = 8, #ARGV, 4 do
  last = append({log = KEYS[2], meta = KEYS[3], sockets = KEYS[1]}, {length = ARGV[4], life = ARGV[5]}, ARGV[6],
    ARGV[1], ARGV[2], ARGV[index], ARGV[index + 1], ARGV[index + 2] == '1', ARGV[index + 3])
end
if KEYS[5] then redis.call('SET', KEYS[5], as_integer(last), 'PX', ONCE_MS) end

local counts = {}
for _, value in ipairs(redis.call('HVALS', KEYS[1])) do
  local node, session = string.match(value, '^([^|]+)|(.*)$')
  if session == ARGV[7] or ARGV[7] == '*' then counts[node] = (counts[node] or 0) + 1 end
end
local answer = {last}
for node, count in pairs(counts) do
  answer[#answer + 1] = node
  answer[#answer + 1] = count
end
return answer
