-- Claim up to `capacity` jobs, least recently served lane first, and open RQ's records of each: one atomic step,
-- so a job is either still in its lane or in the registry of the worker that claimed it.
--
-- | KEYS        | name       | type   | what                                       |
-- | 1           | suspended  | string | whether RQ's workers are suspended         |
-- | 2           | worker_key | hash   | RQ's record of the worker                  |
-- | 3           | executions | set    | executions of the worker                   |
-- | 4           | leases     | zset   | workers by the end of their lease          |
-- | 5, 8, ...   | ready      | set    | plugins whose lane may have work           |
-- | 6, 9, ...   | wakeup     | list   | what idle workers block on                 |
-- | 7, 10, ...  | schedule   | zset   | lanes by the time they were last served    |
--
-- | ARGV        | name             | what                                     |
-- | 1           | prefix           | of RQ's keys                             |
-- | 2           | worker           | the worker's name                        |
-- | 3           | capacity         | jobs to claim at most                    |
-- | 4           | execution_prefix | of the new executions' ids               |
-- | 5           | execution_ttl    | seconds that records of executions live  |
-- | 6, 7, ...   | queue            | names, in the order of KEYS              |
--
-- A worker without a lease gets nothing and is told to stand by, as if all were suspended: it may be frozen, with
-- this script sent ahead, and what it claimed after the reapers have cleaned up behind it would be lost.
-- Returns {suspended, work left, {{lane, id, execution, attempt, ended, data}, ...}}.
--
-- Nothing that a plugin wrote is trusted: no names, types, sizes or numbers in the hash of a job. What reapers
-- need to know of an execution stands in a hash of its own, which no plugin can write.

local FIRST_QUEUE = 6
local TURN = 4 -- jobs that a lane gives in its turn, or more if there are few lanes; each turn has its cost
local suspended, worker_key, executions, leases = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix, worker, capacity = ARGV[1], ARGV[2], tonumber(ARGV[3])
local execution_prefix, execution_ttl = ARGV[4], tonumber(ARGV[5])
local time = redis.call('TIME') -- the server's: the worker may have sent this script seconds ago
local now_epoch = time[1] .. string.format('.%06d', time[2])
local MAX_DATA = 2 * 1024 * 1024 -- what the codec decodes is smaller
local budget = capacity * 4 + 16 -- ids looked at, so that a lane full of deleted jobs cannot hold the server up
local jobs = {}

-- The time in RQ's form, like 2026-11-22T16:05:00.000001Z; days become a date by counting years from March.
local function iso()
  local seconds = tonumber(time[1])
  local z = math.floor(seconds / 86400) + 719468
  local day_of_era = z % 146097
  local year = math.floor((day_of_era - math.floor(day_of_era / 1460) + math.floor(day_of_era / 36524)
    - math.floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local march = math.floor((5 * day_of_year + 2) / 153)
  local month = march < 10 and march + 3 or march - 9
  year = year + math.floor(z / 146097) * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', year, month,
    day_of_year - math.floor((153 * march + 2) / 5) + 1, math.floor(seconds / 3600) % 24,
    math.floor(seconds / 60) % 60, seconds % 60, time[2])
end
local now_iso = iso()

local function is_plugin(name)
  return name == '' or #name <= 128 and string.find(name, '^%w[%w_.@/+-]*$')
end

local function open_records(lane, id)
  if #id > 128 or not string.find(id, '^[%w_-]+$') then
    return nil
  end
  local job = prefix .. ':job:' .. id
  local fields = redis.pcall('HMGET', job, 'data', 'status', 'ended', 'attempt', 'tenant')
  if not fields[1] or fields[2] ~= 'queued' then
    return nil -- deleted, cancelled, or claimed before: only the id in the lane was left
  end
  if fields[5] then -- the job waits no longer; pcall, since the plugin may have written another type there
    redis.pcall('ZREM', prefix .. ':invokeq:waiting:' .. lane .. ':' .. fields[5], id)
  end
  local execution = execution_prefix .. string.format('%08x', #jobs)
  local composite = id .. ':' .. execution
  local attempt = tonumber(string.match(fields[4] or '', '^%d%d?%d?%d?%d?%d?$') or 0) + 1
  redis.call('HSET', job, 'status', 'started', 'started_at', now_iso, 'last_heartbeat', now_iso,
    'worker_name', worker, 'attempt', attempt)
  if fields[3] then -- requeued by an operator after a run had ended
    redis.call('HDEL', job, 'ended')
    redis.call('HSET', job, 'ended_at', '')
  end
  redis.call('EXPIRE', job, execution_ttl)
  redis.call('ZADD', prefix .. ':wip:' .. lane, '+inf', composite) -- no expiry: leases decide, not RQ's cleanup of this registry
  local execution_key = prefix .. ':execution:' .. composite
  redis.call('HSET', execution_key, 'id', execution, 'job_id', id, 'created_at', now_epoch,
    'last_heartbeat', now_epoch, 'worker_name', worker, 'lane', lane, 'attempt', attempt)
  redis.call('EXPIRE', execution_key, execution_ttl)
  redis.call('ZADD', prefix .. ':executions:' .. id, now_epoch + execution_ttl + 60, execution)
  redis.call('EXPIRE', prefix .. ':executions:' .. id, execution_ttl + 60)
  redis.call('SADD', executions, composite)
  return {lane, id, execution, attempt, fields[3] and 1 or 0, #fields[1] <= MAX_DATA and fields[1] or ''}
end

local function serve(schedule, lane, quota, stamp)
  local ids = redis.pcall('LPOP', prefix .. ':queue:' .. lane, quota)
  if ids and ids.err then
    ids = nil
  end
  budget = budget - 1 - (ids and #ids or 0)
  for _, id in ipairs(ids or {}) do
    local job = open_records(lane, id)
    if job then
      jobs[#jobs + 1] = job
      capacity = capacity - 1
    end
  end
  if ids and #ids == quota and redis.call('EXISTS', prefix .. ':queue:' .. lane) == 1 then
    redis.call('ZADD', schedule, stamp, lane)
  else
    redis.call('ZREM', schedule, lane)
  end
end

if redis.call('EXISTS', suspended) == 1 then
  return {1, 0, jobs}
end

local lease = redis.call('ZSCORE', leases, worker)
if not lease or tonumber(lease) <= time[1] * 1000 + time[2] / 1000 then
  for at = 5, #KEYS, 3 do -- pass the wakeup on that BLPOP took for this worker, or the work would wait unseen
    if redis.call('EXISTS', KEYS[at], KEYS[at + 2]) > 0 then
      redis.call('DEL', KEYS[at + 1])
      redis.call('LPUSH', KEYS[at + 1], '1')
    end
  end
  return {1, 0, jobs}
end

local stamp = time[1] * 1000000 + time[2]
local left = 0
for i = FIRST_QUEUE, #ARGV do
  local queue = ARGV[i]
  local at = 5 + (i - FIRST_QUEUE) * 3
  local ready, wakeup, schedule = KEYS[at], KEYS[at + 1], KEYS[at + 2]
  local plugins = redis.pcall('SMEMBERS', ready)
  if #plugins > 0 or plugins.err then
    redis.call('DEL', ready)
    for _, plugin in ipairs(plugins) do
      if is_plugin(plugin) then
        redis.call('ZADD', schedule, 'NX', stamp, plugin == '' and queue or queue .. ':' .. plugin)
      end
    end
  end
  redis.call('DEL', wakeup) -- one claim takes all work there is: further wakeups would find empty lanes
  local drained = false
  while capacity > 0 and budget > 0 do
    local lanes = redis.call('ZRANGE', schedule, 0, math.ceil(capacity / TURN) - 1)
    if #lanes == 0 then
      drained = true
      break
    end
    local quota = math.max(1, math.floor(capacity / #lanes))
    for _, lane in ipairs(lanes) do
      stamp = stamp + 1
      serve(schedule, lane, quota, stamp)
    end
  end
  if not drained and redis.call('EXISTS', schedule) == 1 then
    left = 1
    redis.call('LPUSH', wakeup, '1') -- more than this worker can take: wake the next idle one
  end
end

if #jobs > 0 then
  redis.call('HSET', worker_key, 'state', 'busy', 'last_heartbeat', now_iso)
  redis.call('EXPIRE', executions, execution_ttl)
end
return {0, left, jobs}
