-- Claim up to `room` jobs, least recently served lane first, and open RQ's books on each: one atomic step,
-- so a job is either still in its lane or in the registry of the worker that has it.
--
-- | KEYS        | type   | what                                    |
-- | 1           | string | suspended                               |
-- | 2           | hash   | worker                                  |
-- | 3           | set    | executions of the worker                |
-- | 4, 7, ...   | set    | ready: plugins whose lane may have work |
-- | 5, 8, ...   | list   | bell                                    |
-- | 6, 9, ...   | zset   | ring: lanes by when they were served    |
--
-- ARGV: prefix, worker name, room, now (ISO), now (epoch seconds), execution id prefix, execution ttl,
-- then the queue names in the order of KEYS.
-- Returns {suspended, work left, {{lane, id, execution, attempt, ended, data}, ...}}.

local prefix, worker, room = ARGV[1], ARGV[2], tonumber(ARGV[3])
local now_iso, now_epoch, execution_prefix, ttl = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local budget = room * 4 + 16 -- ids looked at, so that a lane full of deleted jobs cannot hold the server up
local jobs = {}

local function open_books(lane, id)
  local job = prefix .. ':job:' .. id
  local fields = redis.call('HMGET', job, 'data', 'status', 'ended', 'attempt')
  if not fields[1] or fields[2] ~= 'queued' then
    return nil -- deleted, cancelled, or claimed before: the entry in the lane is all that was left
  end
  local execution = execution_prefix .. string.format('%08x', #jobs)
  local composite = id .. ':' .. execution
  local attempt = (fields[4] or 0) + 1
  redis.call('HSET', job, 'status', 'started', 'started_at', now_iso, 'last_heartbeat', now_iso,
    'worker_name', worker, 'attempt', attempt)
  if fields[3] then -- queued again by an operator after it had ended
    redis.call('HDEL', job, 'ended')
    redis.call('HSET', job, 'ended_at', '')
  end
  redis.call('EXPIRE', job, ttl)
  redis.call('ZADD', prefix .. ':wip:' .. lane, '+inf', composite)
  local execution_key = prefix .. ':execution:' .. composite
  redis.call('HSET', execution_key, 'id', execution, 'job_id', id, 'created_at', now_epoch,
    'last_heartbeat', now_epoch, 'worker_name', worker)
  redis.call('EXPIRE', execution_key, ttl)
  redis.call('ZADD', prefix .. ':executions:' .. id, now_epoch + ttl + 60, execution)
  redis.call('EXPIRE', prefix .. ':executions:' .. id, ttl + 60)
  redis.call('SADD', KEYS[3], composite)
  return {lane, id, execution, attempt, fields[3] or '', fields[1]}
end

local function serve(ring, lane, quota, stamp)
  local ids = redis.call('LPOP', prefix .. ':queue:' .. lane, quota)
  budget = budget - 1 - (ids and #ids or 0)
  for _, id in ipairs(ids or {}) do
    local job = open_books(lane, id)
    if job then
      jobs[#jobs + 1] = job
      room = room - 1
    end
  end
  if ids then -- so that RQ's tools show this worker beside the lane
    redis.call('SADD', prefix .. ':workers:' .. lane, KEYS[2])
  end
  if ids and #ids == quota then
    redis.call('ZADD', ring, stamp, lane)
  else
    redis.call('ZREM', ring, lane)
  end
end

if redis.call('EXISTS', KEYS[1]) == 1 then
  return {1, 0, jobs}
end

local time = redis.call('TIME')
local stamp = time[1] * 1000000 + time[2]
local left = 0
for i = 8, #ARGV do
  local queue = ARGV[i]
  local at = 4 + (i - 8) * 3
  local ready, bell, ring = KEYS[at], KEYS[at + 1], KEYS[at + 2]
  local plugins = redis.call('SMEMBERS', ready)
  if #plugins > 0 then
    redis.call('DEL', ready)
    for _, plugin in ipairs(plugins) do
      redis.call('ZADD', ring, 'NX', stamp, plugin == '' and queue or queue .. ':' .. plugin)
    end
  end
  redis.call('DEL', bell)
  while room > 0 and budget > 0 do
    local lanes = redis.call('ZRANGE', ring, 0, room - 1)
    if #lanes == 0 then
      break
    end
    local quota = math.max(1, math.floor(room / #lanes))
    for _, lane in ipairs(lanes) do
      stamp = stamp + 1
      serve(ring, lane, quota, stamp)
    end
  end
  if redis.call('EXISTS', ring) == 1 then
    left = 1
    redis.call('LPUSH', bell, '1') -- more than this worker can take: wake the next idle one
  end
end

if #jobs > 0 then
  redis.call('HSET', KEYS[2], 'state', 'busy', 'last_heartbeat', now_iso)
  redis.call('EXPIRE', KEYS[3], ttl)
end
return {0, left, jobs}
