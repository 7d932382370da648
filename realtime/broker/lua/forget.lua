-- Forgets a dead node after which everything is cleaned up.
--
-- KEYS 1 leases of nodes   2 their terms   3 their numbers of sockets   4 the claim on the node
-- ARGV 1 node id
-- Returns 1; 0, without effect, if the node is alive again.

local lease = redis.call('ZSCORE', KEYS[1], ARGV[1])
if lease and tonumber(lease) > now_ms() then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[4])
return 1
