-- Renews a node's lease and claims nodes whose leases have run out.
--
-- KEYS 1 leases of nodes (sorted set by end, in ms)   2 their terms (hash)
-- ARGV 1 node id   2 length of the lease in ms   3 prefix of claims   4 length of a claim in ms
--      5 prefix and 6 suffix of a node's sockets, its id between them
-- Returns {the term of the node's lease; ids of dead nodes that this node has claimed for cleanup; number of valid
-- leases}. A dead node without remaining sockets is removed.

local now = now_ms()
local dead = {}
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', as_integer(now), 'LIMIT', 0, 16)) do
  if node ~= ARGV[1] then
    local claimed_by = redis.call('GET', ARGV[3] .. node) or ARGV[1]
    if redis.call('EXISTS', ARGV[5] .. node .. ARGV[6]) == 0 then
      redis.call('ZREM', KEYS[1], node)
      redis.call('HDEL', KEYS[2], node)
      redis.call('DEL', ARGV[3] .. node)
    elseif claimed_by == ARGV[1] then
      redis.call('SET', ARGV[3] .. node, ARGV[1], 'PX', ARGV[4])
      dead[#dead + 1] = node
    end
  end
end
hold(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[1], as_integer(now + tonumber(ARGV[2])), ARGV[1])
local term = redis.call('HGET', KEYS[2], ARGV[1])
return {term or '', dead, redis.call('ZCOUNT', KEYS[1], as_integer(now), '+inf')}
