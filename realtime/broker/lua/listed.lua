-- Finds the node's sockets of one shard that are no longer listed and so may have missed events. Reading the lists
-- also protects them from eviction by least recent or least frequent use.
--
-- KEYS 1 the node's sockets in the shard   then for each socket: its user's sockets   ARGV for each socket: its id
-- Returns {size of the node's own set; then the indices in ARGV, from 0, of sockets missing from users' lists}.

local answer = {redis.call('SCARD', KEYS[1])}
for place, socket in ipairs(ARGV) do
  if redis.call('HEXISTS', KEYS[place + 1], socket) == 0 then answer[#answer + 1] = place - 1 end
end
return answer
