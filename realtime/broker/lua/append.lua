-- Functions shared by the other scripts: a user's log, and the leases of nodes.
--
-- The log is a list of frames. An event's id grows by at least one, and is never below the server's clock in
-- microseconds. Each frame contains the id of its predecessor in the log, so a reader can detect gaps, and whether a
-- trimmed log still reaches back to its cursor. A lost log restarts above every id that the lost one can have
-- assigned, because appending takes at least a microsecond per event; so no old cursor is within its reach.
-- `version` then jumps as well. JSON numbers are exact for microseconds until the year 2255.
--
-- Presence is a state and not in the log: of each session only the last `device-status` is kept, beside it.
--
-- A frame is the JSON that nodes read, both live and from the log:
--   {"u": user, "i": id, "p": id of the previous one in the log, "e": event, "s": session,
--    "v": version or null, "o": origin, "d": payload, "m": tag of the node that made the event (seal.py)}
--
-- A payload comes with its tag, as `payload,"m":"tag"`.

-- Offset of a new log's first id: the clock may have been set back since the lost log, or be another server's.
local AHEAD_US = 1000000
-- Older events leave the log: who was away for longer lists again.
local LOG_AGE_US = 86400 * 1000000
-- Bytes of a log, below what a socket may have queued (engine/websocket.py): a client gets all that it has missed at
-- once, and one that has missed more lists again. An event has a fraction of this (auth/backends/messages.py).
local MOST_BYTES = 512 * 1024
-- Sessions whose last `device-status` is kept.
local MOST_STATES = 32

-- How long a repeat of a durable event is recognised.
local ONCE_MS = 600000
-- How long the last id of a room is known after its last event, or a socket that entered.
local ROOM_LAST_MS = 30 * 86400000

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
-- keys: {log, meta, sockets, states}; limits: {length, life in ms}. Returns the id before its first event.
local function begin(keys, limits, beyond)
  local base = as_integer(math.max(now_us() + AHEAD_US, beyond + 1))
  redis.call('DEL', keys.log)
  redis.call('HSET', keys.meta, 'last', base, 'logged', base, 'version', base)
  redis.call('PEXPIRE', keys.meta, limits.life)
  return tonumber(base)
end

local function id_of(frame)
  return tonumber(string.match(frame, '"i":(%d+)'))
end

local function frame_of(user, id, previous, event, session, version, origin, payload)
  return '{"u":' .. cjson.encode(user) .. ',"i":' .. as_integer(id) .. ',"p":' .. as_integer(previous)
    .. ',"e":"' .. event .. '","s":"' .. session .. '","v":' .. version .. ',"o":"' .. origin .. '","d":' .. payload
    .. '}'
end

-- Publishes a frame to every node that holds a socket of the user, or, with `keys.watchers`, one that watches the user.
-- channels: prefix of the nodes' channels in the user's shard.
local function tell(keys, channels, frame)
  local told = {}
  for _, value in ipairs(redis.call('HVALS', keys.sockets)) do
    local node = string.match(value, '^[^|]+')
    if not told[node] then
      told[node] = true
      redis.call('SPUBLISH', channels .. node, frame)
    end
  end
  for _, node in ipairs(keys.watchers and redis.call('ZRANGE', keys.watchers, 0, -1) or {}) do
    if not told[node] then redis.call('SPUBLISH', channels .. node, frame) end
  end
end

-- The id of the next event, and that of the last one in the log.
local function next_id(keys, limits)
  local ids = redis.call('HMGET', keys.meta, 'last', 'logged')
  local last = tonumber(ids[1]) or begin(keys, limits, 0)
  return math.max(last + 1, now_us()), tonumber(ids[2]) or last
end

-- Appends one event and publishes it. Returns the event's id.
local function append(keys, limits, channels, user, origin, event, session, versioned, payload)
  local id, previous = next_id(keys, limits)
  local version = versioned and as_integer(redis.call('HINCRBY', keys.meta, 'version', 1)) or 'null'
  -- Older tokens have outdated roles, so handshakes must read the account.
  if event == 'roles-changed' then redis.call('HSET', keys.meta, 'roles', as_integer(id)) end
  local frame = frame_of(user, id, previous, event, session, version, origin, payload)
  local length, bytes = redis.call('RPUSH', keys.log, frame), #frame
  -- Otherwise the log is new: the sum of one that has expired or was evicted does not count.
  if length > 1 then bytes = bytes + (tonumber(redis.call('HGET', keys.meta, 'bytes')) or 0) end
  while length > 1 and (length > tonumber(limits.length) or bytes > MOST_BYTES
      or id_of(redis.call('LINDEX', keys.log, 0)) < id - LOG_AGE_US) do
    length, bytes = length - 1, bytes - #redis.call('LPOP', keys.log)
  end
  redis.call('HSET', keys.meta, 'last', as_integer(id), 'logged', as_integer(id), 'bytes', bytes)
  redis.call('PEXPIRE', keys.log, limits.life)
  redis.call('PEXPIRE', keys.meta, limits.life)
  tell(keys, channels, frame)
  return id
end

-- Publishes that a session has come online or gone offline, and keeps it as the session's state.
local function announce(keys, limits, channels, user, session, payload)
  local id, previous = next_id(keys, limits)
  redis.call('HSET', keys.meta, 'last', as_integer(id))
  redis.call('HSET', keys.states, session, as_integer(id) .. '|' .. payload)
  if redis.call('HLEN', keys.states) > MOST_STATES then
    local oldest, oldest_id
    local states = redis.call('HGETALL', keys.states)
    for index = 1, #states, 2 do
      local its_id = tonumber(string.match(states[index + 1], '^%d+'))
      if not oldest_id or its_id < oldest_id then oldest, oldest_id = states[index], its_id end
    end
    redis.call('HDEL', keys.states, oldest)
  end
  redis.call('PEXPIRE', keys.states, limits.life)
  redis.call('PEXPIRE', keys.meta, limits.life)
  tell(keys, channels, frame_of(user, id, previous, 'device-status', session, 'null', '', payload))
end

-- What a reader with this cursor has missed, in order, and whether that is all: the events after it that the log
-- has, and the sessions that have come or gone since.
local function missed(keys, user, cursor)
  local logged = tonumber(redis.call('HGET', keys.meta, 'logged')) or 0
  local found, is_all = {}, cursor >= logged
  if not is_all then
    for _, frame in ipairs(redis.call('LRANGE', keys.log, 0, -1)) do
      local id = id_of(frame)
      if id > cursor then
        if #found == 0 then is_all = tonumber(string.match(frame, '"p":(%d+)')) <= cursor end
        found[#found + 1] = {id, frame}
      end
    end
  end
  local states = redis.call('HGETALL', keys.states)
  for index = 1, #states, 2 do
    local id, payload = string.match(states[index + 1], '^(%d+)|(.*)$')
    if tonumber(id) > cursor then
      local frame = frame_of(user, tonumber(id), logged, 'device-status', states[index], 'null', '', payload)
      found[#found + 1] = {tonumber(id), frame}
    end
  end
  table.sort(found, function(one, other) return one[1] < other[1] end)
  local frames = {}
  for index, each in ipairs(found) do frames[index] = each[2] end
  return frames, is_all
end

-- The id of the last event of a room, also one that has left the log. A lost log continues above all ids that it had.
-- keys: the log, and the room's last id.
local function last_of_room(log, last)
  local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  local listed = newest and tonumber(string.match(newest[1], '^%d+'))
  local known = tonumber(redis.call('GET', last) or nil)
  if listed or known then return math.max(listed or 0, known or 0) end
  return now_us() + AHEAD_US
end

local function set_last_of_room(last, id)
  redis.call('SET', last, as_integer(id), 'PX', ROOM_LAST_MS)
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
