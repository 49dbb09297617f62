-- The worker's heartbeat: renew the lease and the directory entry, look for dead workers, and once a second
-- among all workers find lanes that RQ's own tools filled without ringing the wakeup.
--
-- | KEYS      | type   | what                     |
-- | 1         | zset   | leases                   |
-- | 2         | hash   | directory                |
-- | 3         | hash   | worker                   |
-- | 4         | set    | executions of the worker |
-- | 5         | string | suspended                |
-- | 6         | set    | RQ's queues              |
-- | 7, 10,... | set    | ready                    |
-- | 8, 11,... | list   | wakeup                     |
-- | 9, 12,... | string | rescan                   |
--
-- ARGV: prefix, worker name, lease (ms), directory entry, now (ISO), worker ttl, state, then the queue names.
-- Returns {server time (ms), suspended, {names of workers whose lease has lapsed}}.

local prefix, worker = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), worker)
redis.call('HSET', KEYS[2], worker, ARGV[4])
redis.call('HSET', KEYS[3], 'last_heartbeat', ARGV[5], 'state', ARGV[7])
redis.call('EXPIRE', KEYS[3], tonumber(ARGV[6]))

for i = 8, #ARGV do
  local queue = ARGV[i]
  local at = 7 + (i - 8) * 3
  local ready, wakeup, rescan = KEYS[at], KEYS[at + 1], KEYS[at + 2]
  if redis.call('SET', rescan, worker, 'NX', 'PX', 900) then
    local whole = prefix .. ':queue:' .. queue
    local start = whole .. ':'
    local depth = 0
    for _, lane in ipairs(redis.call('SMEMBERS', KEYS[6])) do
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
    redis.call('HSET', KEYS[2], 'depth:' .. queue, depth)
    if redis.call('EXISTS', ready) == 1 and redis.call('EXISTS', wakeup) == 0 then
      redis.call('LPUSH', wakeup, '1')
    end
  end
end

local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 16)
return {now, redis.call('EXISTS', KEYS[5]), dead}
