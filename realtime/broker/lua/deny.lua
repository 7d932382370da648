-- Restores the deny-list from MongoDB in several calls and marks it as whole at the end, unless Redis lost
-- entries between the first and the last call.
--
-- The calls of one restore keep a mark of their own in the list. If Redis loses the list meanwhile, the mark is
-- lost with the entries, and the restore must start again.
--
-- A replica that was promoted may lack the last writes of the former master. The list keeps since when the logs
-- beside it are complete again, as its member `since`.
--
-- KEYS 1 deny-list (sorted set of sessions by the end of their entry in ms, and of marks)
-- ARGV 1 mark of this restore   2 step: `begin`, `add` or `end`
--      3 id of the history of a master that was promoted, else empty
--      4 at the end: `rooms` if the shard has users in rooms that last, else `no rooms`
--      then for each session: its id, lifetime of its entry in ms
-- Returns 1, or 0 if the list was lost since `begin`.

local LONGEST_MS = 60000
local now = now_ms()
if ARGV[2] == 'begin' then
  redis.call('ZADD', KEYS[1], as_integer(now + LONGEST_MS), ARGV[1])
  return 1
end
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
for index = 5, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], as_integer(now + tonumber(ARGV[index + 1])), ARGV[index])
end
if ARGV[2] == 'end' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', as_integer(now))
  redis.call('ZADD', KEYS[1], '+inf', 'whole')
  if ARGV[3] ~= '' and not redis.call('ZSCORE', KEYS[1], 'history ' .. ARGV[3]) then
    redis.call('ZADD', KEYS[1], as_integer(now_us() + AHEAD_US), 'since', '+inf', 'history ' .. ARGV[3])
  end
  -- What was lost, even by a mere restart, may be the mark `rooms`, and not `no rooms`, which it outweighs.
  if ARGV[4] == 'rooms' then redis.call('ZREM', KEYS[1], 'no rooms') end
  redis.call('ZADD', KEYS[1], '+inf', ARGV[4])
end
return 1
