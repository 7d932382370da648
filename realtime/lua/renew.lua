-- A node renews its lease and learns whose have run out.
--
-- KEYS 1 leases of nodes (sorted set by end, in ms)   ARGV 1 node id   2 length of the lease in ms
--      3 prefix of claims   4 length of a claim in ms
-- Returns {1 if the node's own lease was still there, else 0; ids of nodes whose lease has run out, which
-- this node has claimed to clear up after; how many nodes hold a lease}.

local now = now_ms()
local dead = {}
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', as_integer(now), 'LIMIT', 0, 16)) do
  local claimed_by = redis.call('GET', ARGV[3] .. node) or ARGV[1]
  if node ~= ARGV[1] and claimed_by == ARGV[1] then
    redis.call('SET', ARGV[3] .. node, ARGV[1], 'PX', ARGV[4])
    dead[#dead + 1] = node
  end
end
local lease = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], as_integer(now + tonumber(ARGV[2])), ARGV[1])
return {(lease and tonumber(lease) > now) and 1 or 0, dead, redis.call('ZCOUNT', KEYS[1], as_integer(now), '+inf')}
