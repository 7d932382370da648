-- Counts one event of a fixed window, which begins with its first.
--
-- KEYS 1 the window
-- ARGV 1 its seconds
-- Returns how many there are in it, this one too.

local count = redis.call('INCRBY', KEYS[1], 1)
if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return count
