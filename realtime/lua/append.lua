-- Shared by the scripts below it: `append` adds one event to a user's log and publishes it to every node
-- that holds a socket of that user.
--
-- The log is a stream whose ids are `<n>-0`; n is the event's id. n grows by at least one, and is never below
-- the server's clock in milliseconds, so that it keeps growing even if the log was lost. Each frame names its
-- predecessor: a reader sees a gap, and whether a trimmed log still reaches back to its cursor.
--
-- The frame is the JSON that nodes read, both live and from the log:
--   {"u": user, "i": id, "p": previous id, "e": event, "s": session, "v": version or null, "o": origin,
--    "d": payload}

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function as_integer(number)
  return string.format('%.0f', number)
end

-- keys: {log, meta, sockets}; limits: {length, life in ms}; prefix of the nodes' channels.
local function append(keys, limits, channels, user, origin, event, session, versioned, payload)
  local previous = tonumber(redis.call('HGET', keys.meta, 'last') or '0')
  local id = math.max(previous + 1, now_ms())
  local version = 'null'
  if versioned then
    -- A version that was lost starts again from the clock: a gap, after which clients list again.
    if redis.call('HEXISTS', keys.meta, 'version') == 0 then
      redis.call('HSET', keys.meta, 'version', as_integer(now_ms()))
    end
    version = as_integer(redis.call('HINCRBY', keys.meta, 'version', 1))
  end
  redis.call('HSET', keys.meta, 'last', as_integer(id))
  -- A token from before this has other roles: a handshake is to look the account up.
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
      redis.call('PUBLISH', channels .. node, frame)
    end
  end
  return id
end

-- How many sockets `session` has, whatever their node; a value is `node|session`.
local function sockets_of(sockets, session)
  local count = 0
  for _, value in ipairs(redis.call('HVALS', sockets)) do
    if string.match(value, '|(.*)$') == session then count = count + 1 end
  end
  return count
end
