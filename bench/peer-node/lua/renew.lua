-- A node renews its lease and learns whose have run out.
--
-- KEYS 1 leases of nodes (sorted set by end, in ms)   ARGV 1 node id   2 length of the lease in ms
-- Returns ids of nodes whose lease has run out.

local now = now_ms()
local dead = {}
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', integer(now), 'LIMIT', 0, 16)) do
  if node ~= ARGV[1] then dead[#dead + 1] = node end
end
redis.call('ZADD', KEYS[1], integer(now + tonumber(ARGV[2])), ARGV[1])
return dead
