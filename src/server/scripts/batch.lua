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
--   re_set   sets the keys that are missing, and the ttl of those of ours that would expire sooner, unless another has any
--   renew    sets the ttl of keys that would expire sooner, if all are ours
--   shorten  sets the ttl, if all keys are ours
--   update_fence  changes no key, if all are ours
--   probe    changes nothing
--   unlock   removes the keys that are ours
--
-- An operation with a token is fenced. If it was done, a lock stores a larger token than is stored for its keys, at least the
-- server's time in microseconds, and at least the one it was sent unless that is far ahead of the time. All others store the
-- token they were sent, unless a larger one is stored. If a token cannot be stored, no fence changes, and a lock sets no key.
--
-- The answer is a MessagePack list with one entry for each operation, in the same order:
--   1               it was done; to probe: all keys are ours
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

-- Sets the ttl of a key that is ours, and returns an error if there is one. Only `shorten` makes a ttl shorter: the lock may have
-- been renewed for longer since the operation was sent, also by another client.
local function extend(key, verb, ttl)
  if verb ~= 'shorten' then
    local left = redis.pcall('PTTL', key)
    if type(left) == 'table' then
      return left.err
    end
    if left >= tonumber(ttl) or (left == -1 and verb == 're_set') then
      return
    end
  end
  local reply = redis.pcall('PEXPIRE', key, ttl)
  return type(reply) == 'table' and reply.err
end

-- The same for several, of which none is changed if one fails.
local function extend_all(keys, verb, ttl)
  local before = {}
  for i, key in ipairs(keys) do
    before[i] = redis.pcall('PTTL', key)
    local failed = extend(key, verb, ttl)
    if failed then
      for j = 1, i - 1 do
        if before[j] == -1 then
          redis.pcall('PERSIST', keys[j])
        elseif type(before[j]) == 'number' then
          redis.pcall('PEXPIRE', keys[j], before[j])
        end
      end
      return failed
    end
  end
end

-- Removes keys that were just set.
local function undo(keys)
  for _, key in ipairs(type(keys) == 'table' and keys or { keys }) do
    redis.pcall('DEL', key)
  end
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
    if verb == 're_set' then
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
  if verb == 'probe' or verb == 'update_fence' then
    return 1
  end
  if verb ~= 'unlock' then
    return extend(key, verb, ttl) or 1
  end
  local reply = redis.pcall('DEL', key)
  return type(reply) == 'table' and reply.err or reply
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
  elseif verb == 'lock' or verb == 're_set' then
    failed = set_all(missing, value, ttl)
    if not failed then
      failed = extend_all(ours, verb, ttl)
      if failed then
        undo(missing)
      end
    end
    missing = {}
  elseif (verb == 'renew' or verb == 'shorten') and #missing == 0 then
    failed = extend_all(ours, verb, ttl)
  end
  return failed or blocked or (#missing == 0 and 1 or 0)
end

-- The largest number that can be counted up to exactly.
local LARGEST_TOKEN = 2 ^ 53 - 1
local NO_TOKEN = 'ERR the fence holds no token that can be counted up'

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

-- Where the token for a key is stored. The hash tag leads to the slot of the key. No lock of ours has such a key.
local function fence_of(key)
  return key .. ':fence:{' .. key .. '}'
end

-- What is stored there. Whatever else is there belongs to somebody else, and stays as it is.
local TEXT, PATTERN, NUMBER = 'token:%.0f', '^token:%d+$', '^token:(%d+)$'

-- Most operations of a batch have the same token.
local text_token, text
local function as_text(token)
  if token ~= text_token then
    text_token, text = token, string.format(TEXT, token)
  end
  return text
end

-- Two texts that were compared last. Most operations of a batch have the same.
local smaller, larger

-- The token that a fence is to hold: the one that was sent, unless a larger one, or for a new lock as large a one, is there; and
-- the text that is there, if any. Or nothing and an error.
local function choose(fence, token, is_new)
  local stored, text = redis.pcall('GET', fence), as_text(token)
  if token > LARGEST_TOKEN then
    return nil, NO_TOKEN
  end
  if not stored or (stored == smaller and text == larger) then
    return token, stored
  end
  -- As a rule, and cheaper to see than by the numbers.
  if #stored == #text and stored < text and string.find(stored, PATTERN) then
    smaller, larger = stored, text
    return token, stored
  end
  if stored.err then
    return nil, stored.err
  end
  local number = tonumber(string.match(stored, NUMBER))
  if not (number and number < LARGEST_TOKEN) then
    return nil, NO_TOKEN
  end
  return math.max(token, is_new and number + 1 or number), stored
end

-- Stores a token for a key. Returns what is stored by then; or nothing and an error, if nothing was changed.
local function store(key, token, expiry, is_new)
  local fence = fence_of(key)
  local chosen, failed = choose(fence, token, is_new)
  if not chosen then
    return nil, failed
  end
  local reply = redis.pcall('SET', fence, as_text(chosen), 'PX', expiry)
  if reply.err then
    return nil, reply.err
  end
  return chosen
end

-- Makes a fence what it was.
local function set_back(fence, expiry)
  if not fence.text then
    redis.pcall('DEL', fence.name)
  elseif fence.pttl == -1 then
    redis.pcall('SET', fence.name, fence.text)
  else
    -- Whoever may not ask for the ttl leaves the one that was set.
    local pttl = type(fence.pttl) == 'number' and math.max(fence.pttl, 1) or expiry
    redis.pcall('SET', fence.name, fence.text, 'PX', pttl)
  end
end

-- Stores the same token for all keys, or changes nothing.
local function store_all(keys, token, expiry, is_new)
  local fences = {}
  for i, key in ipairs(keys) do
    local name = fence_of(key)
    local chosen, stored = choose(name, token, is_new)
    if not chosen then
      return nil, stored
    end
    token = chosen
    fences[i] = { name = name, text = stored, pttl = stored and redis.pcall('PTTL', name) }
  end
  for i, fence in ipairs(fences) do
    local reply = redis.pcall('SET', fence.name, as_text(token), 'PX', expiry)
    if reply.err then
      for j = 1, i - 1 do
        set_back(fences[j], expiry)
      end
      return nil, reply.err
    end
  end
  return token
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
  return verb == 'update_fence' and failed or 1
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
