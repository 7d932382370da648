-- Reads the leases of all nodes.
--
-- KEYS 1 leases of nodes (sorted set by end, in ms)
-- Returns leases_left.

return leases_left(KEYS[1])
