-- A node's heartbeat through the bus, sent only where Redis accepts writes: events are published by the script
-- that writes them to a log, so a Redis that accepts no writes publishes no events either.
--
-- KEYS 1 the node's last heartbeat   ARGV 1 channel of the node   2 the heartbeat   3 life of the key in ms

redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('SPUBLISH', ARGV[1], ARGV[2])
