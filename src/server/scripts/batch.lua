-- Carries out a batch of operations in order, each on one key.
--
-- ARGV[1] is a MessagePack list. Operation i has from index 4 * i - 3 on its key, its verb, the lock's value, and its ttl in
-- milliseconds. One argument for all of them costs client and server less than one for each. The keys are no KEYS: Redis
-- would check the user's access to all of them first, and refuse the batch for one.
--
-- The answer is a MessagePack list with one entry for each operation, in the same order:
--   1               it was done
--   0               the key is missing
--   {pttl, value}   the key holds another value, and for how long (-1: it never expires)
--   text            it failed with this error
-- Every command goes through pcall, so that one bad key spoils only its own operation.

local function run(key, verb, value, ttl)
  if verb == 'lock' then
    local reply = redis.pcall('SET', key, value, 'NX', 'PX', ttl)
    if reply then
      return reply.err or 1
    end
  end

  local holder = redis.pcall('GET', key)
  if not holder then
    return 0
  end
  if type(holder) == 'table' then
    return holder.err
  end
  if holder ~= value or verb == 'lock' then
    local pttl = redis.pcall('PTTL', key)
    if type(pttl) == 'table' then
      return pttl.err
    end
    -- No value of ours is that long, and whatever else it is nobody wants to be sent.
    return { pttl, #holder <= 1024 and holder or '' }
  end

  local reply
  if verb == 'renew' then
    reply = redis.pcall('PEXPIRE', key, ttl)
  else
    reply = redis.pcall('DEL', key)
  end
  if type(reply) == 'table' then
    return reply.err
  end
  return reply
end

local operations = cmsgpack.unpack(ARGV[1])
local answers = {}
for i = 1, #operations, 4 do
  answers[#answers + 1] = run(operations[i], operations[i + 1], operations[i + 2], operations[i + 3])
end
return cmsgpack.pack(answers)
