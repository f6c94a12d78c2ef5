-- Carries out a batch of operations in order, each on the keys of one lock.
--
-- ARGV[1] is a MessagePack list. Operation i has from index 6 * i - 5 on its key (or a list of its keys), its verb, the lock's
-- value, its ttl in milliseconds, a token or 0, and for how many milliseconds the token is remembered. Both times are texts: Redis
-- would have to make some of numbers for its commands. One argument for all operations costs client and server less than one
-- for each. KEYS are not read: Redis checks the user's access to all of them first, and would refuse a batch for one. Only to a
-- cluster, whose nodes have to see them, the keys go there as well; a batch is a single operation then.
--
-- The verbs:
--   lock     sets the keys unless any of them is there
--   restore  sets the keys that are missing, and the ttl of those of ours that would expire sooner, unless another has any
--   renew    sets the ttl of keys that would expire sooner, if all are ours
--   shorten  sets the ttl, if all keys are ours
--   raise    changes no key, if all are ours
--   look     changes nothing
--   unlock   removes the keys that are ours
--
-- An operation with a token is fenced. If it was done, a lock stores a larger token than is stored for its keys, at least the
-- server's time in microseconds, and at least the one it was sent unless that is far ahead of the time. All others store the
-- token they were sent, unless a larger one is stored.
--
-- The answer is a MessagePack list with one entry for each operation, in the same order:
--   1               it was done; to look: all keys are ours
--   a larger number a fenced lock was granted, with this token
--   0               a key is missing
--   {pttl, value}   a key holds another value, and for how long (-1: it never expires); of several the one that stays longest
--   text            it failed with this error
-- Every command goes through pcall, so that one bad key spoils only its own operation.

-- An entry for a key that another value holds.
local function held(key, holder)
  local pttl = redis.pcall('PTTL', key)
  if type(pttl) == 'table' then
    return pttl.err
  end
  -- No value of ours is that long, and whatever else it is nobody wants to be sent.
  return { pttl, #holder <= 1024 and holder or '' }
end

-- Sets the ttl of a key that is ours. Only `shorten` makes that shorter: another client may have renewed the lock for longer.
local function set_ttl(key, verb, ttl)
  if verb ~= 'shorten' then
    local pttl = redis.pcall('PTTL', key)
    if type(pttl) == 'number' and pttl >= tonumber(ttl) then
      return 1
    end
  end
  return redis.pcall('PEXPIRE', key, ttl)
end

-- Most locks have one key. It is what `run_all` does, in fewer steps.
local function run_one(key, verb, value, ttl)
  if verb == 'lock' then
    local reply = redis.pcall('SET', key, value, 'NX', 'PX', ttl)
    if reply then
      return reply.err or 1
    end
  end

  local holder = redis.pcall('GET', key)
  if not holder then
    if verb == 'restore' then
      local reply = redis.pcall('SET', key, value, 'PX', ttl)
      return reply.err or 1
    end
    return 0
  end
  if type(holder) == 'table' then
    return holder.err
  end
  if holder ~= value or verb == 'lock' then
    return held(key, holder)
  end
  if verb == 'look' or verb == 'raise' then
    return 1
  end

  local reply
  if verb == 'unlock' then
    reply = redis.pcall('DEL', key)
  else
    reply = set_ttl(key, verb, ttl)
  end
  if type(reply) == 'table' then
    return reply.err
  end
  return reply
end

-- Sets all keys, or none if one fails.
local function set_all(keys, value, ttl)
  for i, key in ipairs(keys) do
    local reply = redis.pcall('SET', key, value, 'PX', ttl)
    if reply.err then
      for j = 1, i - 1 do
        redis.pcall('DEL', keys[j])
      end
      return reply.err
    end
  end
end

local function run_all(keys, verb, value, ttl)
  local ours, missing, blocked, failed = {}, {}, nil, nil
  for _, key in ipairs(keys) do
    local holder = redis.pcall('GET', key)
    if type(holder) == 'table' then
      failed = failed or holder.err
    elseif not holder then
      missing[#missing + 1] = key
    elseif holder == value and verb ~= 'lock' then
      ours[#ours + 1] = key
    else
      local entry = held(key, holder)
      if type(entry) == 'string' then
        failed = failed or entry
      elseif not blocked or entry[1] == -1 or (blocked[1] ~= -1 and entry[1] > blocked[1]) then
        blocked = entry
      end
    end
  end
  -- An unlock removes what it can. All others are for all keys or for none.
  if failed and verb ~= 'unlock' then
    return failed
  end

  if verb == 'unlock' then
    for _, key in ipairs(ours) do
      local reply = redis.pcall('DEL', key)
      failed = failed or (type(reply) == 'table' and reply.err)
    end
  elseif blocked then
    return blocked
  elseif verb == 'lock' or verb == 'restore' then
    failed = set_all(missing, value, ttl)
    missing = {}
  end
  if not failed and #missing == 0 and (verb == 'renew' or verb == 'shorten' or verb == 'restore') then
    for _, key in ipairs(ours) do
      local reply = set_ttl(key, verb, ttl)
      failed = failed or (type(reply) == 'table' and reply.err)
    end
  end
  return failed or blocked or (#missing == 0 and 1 or 0)
end

-- The largest number that can be counted up to exactly.
local LARGEST_TOKEN = 2 ^ 53 - 1

-- How far ahead of the server's time, in microseconds, a lock's token may be set.
local FURTHEST_AHEAD = 1000000

-- The server's time in microseconds, which stands still while a script runs; or nothing and an error.
local read_time
local function time()
  if not read_time then
    local reply = redis.pcall('TIME')
    if reply.err then
      return nil, reply.err
    end
    read_time = reply[1] * 1000000 + reply[2]
  end
  return read_time
end

-- Where the token for a key is stored. The hash tag leads to the slot of the key.
local function fence_of(key)
  return key .. ':fence:{' .. key .. '}'
end

-- Most operations of a batch have the same token.
local text_token, text
local function as_text(token)
  if token ~= text_token then
    text_token, text = token, string.format('%.0f', token)
  end
  return text
end

-- Stores a token unless a larger one, or for a new lock as large a one, is there. Returns what is stored by then; or nothing
-- and an error.
local function store(key, token, expiry, is_new)
  local fence, text = fence_of(key), as_text(token)
  local stored = redis.pcall('SET', fence, text, 'PX', expiry, 'GET')
  -- As a rule.
  if not stored or (#stored == #text and stored < text) then
    return token
  end
  if stored.err then
    return nil, stored.err
  end
  local number = tonumber(stored)
  local failed
  if not (number and number < LARGEST_TOKEN) then
    failed = 'ERR the fence holds no token that can be counted up'
  elseif number < token then
    return token
  else
    token = is_new and number + 1 or number
    stored = string.format('%.0f', token)
  end
  redis.pcall('SET', fence, stored, 'PX', expiry)
  return not failed and token, failed
end

-- Stores the same token for all keys.
local function store_all(keys, token, expiry, is_new)
  local largest = token
  for _, key in ipairs(keys) do
    local stored, failed = store(key, token, expiry, is_new)
    if failed then
      return nil, failed
    end
    largest = math.max(largest, stored)
  end
  for _, key in ipairs(largest > token and keys or {}) do
    redis.pcall('SET', fence_of(key), string.format('%.0f', largest), 'PX', expiry)
  end
  return largest
end

-- Removes the keys of a lock that was just set.
local function undo(keys)
  for _, key in ipairs(type(keys) == 'table' and keys or { keys }) do
    redis.pcall('DEL', key)
  end
end

local function run_fenced(run, keys, verb, value, ttl, token, expiry)
  local answer = run(keys, verb, value, ttl)
  if answer ~= 1 then
    return answer
  end
  local failed
  if verb == 'lock' then
    local now
    now, failed = time()
    if now and not (token > now and token <= now + FURTHEST_AHEAD) then
      token = now
    end
  end
  if not failed then
    local store = type(keys) == 'table' and store_all or store
    token, failed = store(keys, token, expiry, verb == 'lock')
  end
  if verb == 'lock' then
    if failed then
      undo(keys)
    end
    return failed or token
  end
  -- A key that lives on is worth more than its token, which a majority has stored.
  return verb == 'raise' and failed or 1
end

local operations = cmsgpack.unpack(ARGV[1])
local answers = {}
for i = 1, #operations, 6 do
  local keys, verb, value, ttl, token = operations[i], operations[i + 1], operations[i + 2], operations[i + 3], operations[i + 4]
  local run = type(keys) == 'table' and run_all or run_one
  if token ~= 0 then
    answers[#answers + 1] = run_fenced(run, keys, verb, value, ttl, token, operations[i + 5])
  else
    answers[#answers + 1] = run(keys, verb, value, ttl)
  end
end
return cmsgpack.pack(answers)
