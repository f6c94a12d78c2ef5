-- Finds out whether the server has the commands that locking needs, and lets this user run them. It changes no key.
--
-- KEYS[1], or where no key is declared ARGV[1], is a key that nobody has. The answer is a list of texts: the error of reading that
-- key, if there is one; then pairs of a command and the error that it yields, or `?` if it was not tried.

local key = KEYS[1] or ARGV[1]

local function run(command)
  local reply = redis.pcall(unpack(command))
  return type(reply) == 'table' and reply.err or ''
end

-- What `run` yields, without running the command where the server can tell so: since Redis 7.0.
local function try(command)
  if redis.acl_check_cmd then
    local is_there, may = pcall(redis.acl_check_cmd, unpack(command))
    if is_there and may then
      return ''
    end
  end
  return run(command)
end

-- No script may run it.
local function try_evalsha()
  if not redis.acl_check_cmd then
    return '?'
  end
  local is_there, may = pcall(redis.acl_check_cmd, 'EVALSHA', 'none', '0')
  return not is_there and 'ERR unknown command' or may and '' or 'NOPERM'
end

local answer = { run({ 'PTTL', key }), 'EVALSHA', try_evalsha() }
-- On a missing key none of them does anything.
for _, command in ipairs({ { 'SET', key, '', 'XX' }, { 'GET', key }, { 'PTTL', key }, { 'PEXPIRE', key, '1' }, { 'DEL', key } }) do
  answer[#answer + 1] = command[1]
  answer[#answer + 1] = try(command)
end
return answer
