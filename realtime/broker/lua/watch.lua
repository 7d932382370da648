-- Notes for a while that a node watches a user; forgets nodes that have not repeated it in time.
--
-- KEYS 1 the nodes that watch the user (sorted set: node -> until when, in ms)
-- ARGV 1 node id   2 how long, in ms

local now = now_ms()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', as_integer(now))
redis.call('ZADD', KEYS[1], as_integer(now + tonumber(ARGV[2])), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
