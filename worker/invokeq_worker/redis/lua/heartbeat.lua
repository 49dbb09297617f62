-- The worker's heartbeat: renew the lease and the directory entry, look for dead workers, and once a second
-- among all workers find lanes that RQ's own tools filled without a wakeup.
--
-- | KEYS        | name       | type   | what                                    |
-- | 1           | leases     | zset   | workers by the end of their lease       |
-- | 2           | directory  | hash   | what each worker serves, and depths     |
-- | 3           | worker_key | hash   | RQ's record of the worker               |
-- | 4           | suspended  | string | whether RQ's workers are suspended      |
-- | 5           | queues     | set    | RQ's queues, which are our lanes        |
-- | 6, 9, ...   | ready      | set    | plugins whose lane may have work        |
-- | 7, 10, ...  | wakeup     | list   | what idle workers block on              |
-- | 8, 11, ...  | rescan     | string | which worker looks at the lanes         |
--
-- | ARGV        | name       | what                                    |
-- | 1           | prefix     | of RQ's keys                            |
-- | 2           | worker     | the worker's name                       |
-- | 3           | lease_ms   | milliseconds that the lease holds       |
-- | 4           | entry      | for the directory                       |
-- | 5           | now_iso    | the time as RQ writes it                |
-- | 6           | worker_ttl | seconds that the worker's record lives  |
-- | 7           | state      | busy or idle                            |
-- | 8, 9, ...   | queue      | names, in the order of KEYS             |
--
-- Returns {server time (ms), suspended, {names of workers whose lease has lapsed}}.

local FIRST_QUEUE = 8
local leases, directory, worker_key, suspended, queues = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prefix, worker, lease_ms, entry = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local now_iso, worker_ttl, state = ARGV[5], tonumber(ARGV[6]), ARGV[7]
local time = redis.call('TIME') -- the server's, so that hosts with wrong clocks agree on who is alive
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('ZADD', leases, now + lease_ms, worker)
redis.call('HSET', directory, worker, entry)
redis.call('HSET', worker_key, 'last_heartbeat', now_iso, 'state', state)
redis.call('EXPIRE', worker_key, worker_ttl)

for i = FIRST_QUEUE, #ARGV do
  local queue = ARGV[i]
  local at = 6 + (i - FIRST_QUEUE) * 3
  local ready, wakeup, rescan = KEYS[at], KEYS[at + 1], KEYS[at + 2]
  if redis.call('SET', rescan, worker, 'NX', 'PX', 900) then -- one worker a second pays for the look
    local whole = prefix .. ':queue:' .. queue
    local start = whole .. ':'
    local depth = 0
    for _, lane in ipairs(redis.call('SMEMBERS', queues)) do
      local plugin = nil
      if lane == whole then
        plugin = ''
      elseif string.sub(lane, 1, #start) == start then
        plugin = string.sub(lane, #start + 1)
      end
      if plugin and redis.call('TYPE', lane).ok == 'list' then
        redis.call('SADD', ready, plugin)
        depth = depth + redis.call('LLEN', lane)
      end
    end
    redis.call('HSET', directory, 'depth:' .. queue, depth)
    if redis.call('EXISTS', ready) == 1 and redis.call('EXISTS', wakeup) == 0 then
      redis.call('LPUSH', wakeup, '1')
    end
  end
end

local dead = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 16)
return {now, redis.call('EXISTS', suspended), dead}
