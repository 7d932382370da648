-- Put in front of every script: adds one event to a user's log.
--
-- The log is a stream whose ids are `<n>-0`; n is the event's id. It grows by at least one and is never below the
-- server's clock in milliseconds, so that it keeps growing even if the log was lost. Each entry names its
-- predecessor: a reader knows whether a trimmed log still reaches back to its cursor.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function integer(number) return string.format('%.0f', number) end

-- Returns the event's id and, for a versioned event, its version (else 0).
local function append(log, meta, length, life, event, versioned, payload)
  local previous = tonumber(redis.call('HGET', meta, 'last') or '0')
  local id = math.max(previous + 1, now_ms())
  local version = 0
  if versioned then
    if redis.call('HEXISTS', meta, 'version') == 0 then redis.call('HSET', meta, 'version', integer(now_ms())) end
    version = redis.call('HINCRBY', meta, 'version', 1)
  end
  redis.call('HSET', meta, 'last', integer(id))
  redis.call('XADD', log, 'MAXLEN', length, integer(id) .. '-0',
    'p', integer(previous), 'e', event, 'v', integer(version), 'd', payload)
  redis.call('PEXPIRE', log, life)
  redis.call('PEXPIRE', meta, life)
  return id, version
end

-- How many sockets the user has, and how many of them the session; a value is `node|session`.
local function count(sockets, session)
  local all, own = 0, 0
  for _, value in ipairs(redis.call('HVALS', sockets)) do
    all = all + 1
    if string.match(value, '|(.*)$') == session then own = own + 1 end
  end
  return all, own
end
