-- Functions shared by the other scripts: a user's log, and the leases of nodes.
--
-- The log is a stream whose ids are `<n>-0`; n is the event's id. n grows by at least one, and is never below
-- the server's clock in microseconds. Each frame contains the id of its predecessor, so a reader can detect gaps,
-- and whether a trimmed log still reaches back to its cursor. A lost log restarts above every id that the lost one
-- can have assigned, because appending takes at least a microsecond per event; so no old cursor is within its
-- reach. `version` then jumps as well. JSON numbers are exact for microseconds until the year 2255.
--
-- A frame is the JSON that nodes read, both live and from the log:
--   {"u": user, "i": id, "p": previous id, "e": event, "s": session, "v": version or null, "o": origin,
--    "d": payload, "m": tag of the node that made the event (seal.py)}
--
-- A payload comes with its tag, as `payload,"m":"tag"`.

-- Offset of a new log's first id: the clock may have been set back since the lost log, or be another server's.
local AHEAD_US = 1000000

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function as_integer(number)
  return string.format('%.0f', number)
end

-- Starts a new log, replacing any remains of an old one; all its ids are above `beyond`.
-- keys: {log, meta, sockets}; limits: {length, life in ms}. Returns the id before its first event.
local function begin(keys, limits, beyond)
  local base = math.max(now_us() + AHEAD_US, beyond + 1)
  redis.call('DEL', keys.log)
  redis.call('HSET', keys.meta, 'last', as_integer(base), 'version', as_integer(base))
  redis.call('PEXPIRE', keys.meta, limits.life)
  return base
end

-- Appends one event and publishes it to every node that holds a socket of the user.
-- channels: prefix of the nodes' channels in the user's shard. Returns the event's id.
local function append(keys, limits, channels, user, origin, event, session, versioned, payload)
  local previous = tonumber(redis.call('HGET', keys.meta, 'last')) or begin(keys, limits, 0)
  local id = math.max(previous + 1, now_us())
  local version = versioned and as_integer(redis.call('HINCRBY', keys.meta, 'version', 1)) or 'null'
  redis.call('HSET', keys.meta, 'last', as_integer(id))
  -- Older tokens have outdated roles, so handshakes must read the account.
  if event == 'roles-changed' then redis.call('HSET', keys.meta, 'roles', as_integer(id)) end
  local frame = '{"u":' .. cjson.encode(user) .. ',"i":' .. as_integer(id) .. ',"p":' .. as_integer(previous)
    .. ',"e":"' .. event .. '","s":"' .. session .. '","v":' .. version .. ',"o":"' .. origin .. '","d":' .. payload
    .. '}'
  redis.call('XADD', keys.log, 'MAXLEN', limits.length, as_integer(id) .. '-0', 'f', frame)
  redis.call('PEXPIRE', keys.log, limits.life)
  redis.call('PEXPIRE', keys.meta, limits.life)
  local told = {}
  for _, value in ipairs(redis.call('HVALS', keys.sockets)) do
    local node = string.match(value, '^[^|]+')
    if not told[node] then
      told[node] = true
      redis.call('SPUBLISH', channels .. node, frame)
    end
  end
  return id
end

-- The number of sockets of `session` on all nodes, live or not; a value is `node|session`.
local function sockets_of(sockets, session)
  local count = 0
  for _, value in ipairs(redis.call('HVALS', sockets)) do
    if string.match(value, '|(.*)$') == session then count = count + 1 end
  end
  return count
end

-- The leases of nodes that have not expired, as {node, ms left, node, ms left, …}, and the expired ones as
-- {node, 0, …}.
local function leases_left(leases)
  local now, answer = now_ms(), {}
  local listed = redis.call('ZRANGE', leases, 0, -1, 'WITHSCORES')
  for index = 1, #listed, 2 do
    answer[index] = listed[index]
    answer[index + 1] = math.max(math.floor(tonumber(listed[index + 1]) - now), 0)
  end
  return answer
end
