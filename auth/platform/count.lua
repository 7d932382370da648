-- Counts one event in several fixed windows, in order, stopping at the first window whose limit it exceeds. A
-- window begins with its first event.
--
-- KEYS the windows
-- ARGV for each window, its limit and its length in seconds
-- Returns the count of each window that was incremented, including this event.

local counts = {}
for index, key in ipairs(KEYS) do
  counts[index] = redis.call('INCRBY', key, 1)
  if counts[index] == 1 then redis.call('EXPIRE', key, ARGV[2 * index]) end
  if counts[index] > tonumber(ARGV[2 * index - 1]) then break end
end
return counts
