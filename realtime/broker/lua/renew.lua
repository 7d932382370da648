-- Renews a node's lease and claims nodes whose leases have run out.
--
-- KEYS 1 leases of nodes (sorted set by end, in ms)   2 their terms (hash)   3 their numbers of sockets (hash)
-- ARGV 1 node id   2 length of the lease in ms   3 prefix of claims   4 length of a claim in ms
--      5 number of the node's sockets
-- Returns {the term of the node's lease; ids of dead nodes that this node has claimed for cleanup; leases_left}.

local now = now_ms()
local lease = redis.call('ZSCORE', KEYS[1], ARGV[1])
local held = lease and tonumber(lease) > now
-- A node whose term has changed was considered dead, or Redis lost its data, so its listed sockets may be gone.
if not held then redis.call('HSET', KEYS[2], ARGV[1], as_integer(now_us())) end
local dead = {}
-- A node that could not renew its own lease waits for the others, which may be back from the same outage.
if held then
  for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', as_integer(now), 'LIMIT', 0, 16)) do
    if (redis.call('GET', ARGV[3] .. node) or ARGV[1]) == ARGV[1] then
      redis.call('SET', ARGV[3] .. node, ARGV[1], 'PX', ARGV[4])
      dead[#dead + 1] = node
    end
  end
end
redis.call('ZADD', KEYS[1], as_integer(now + tonumber(ARGV[2])), ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[5])
local term = redis.call('HGET', KEYS[2], ARGV[1])
return {term or '', dead, leases_left(KEYS[1])}
