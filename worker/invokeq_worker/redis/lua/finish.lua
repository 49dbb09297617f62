-- Finalize RQ's records of executions that have ended. An execution that is not in the wip registry any more is
-- skipped: a reaper has fenced it off, and the job's records belong to another worker.
--
-- | KEYS        | name       | type | what                              |
-- | 1           | worker_key | hash | RQ's record of the worker         |
-- | 2           | executions | set  | executions of the worker          |
-- | 3, 6, ...   | job        | hash | RQ's record of the job            |
-- | 4, 7, ...   | wip        | zset | wip registry of the lane          |
-- | 5, 8, ...   | registry   | zset | registry that the job goes to     |
--
-- | ARGV        | name          | what                                |
-- | 1           | prefix        | of RQ's keys                        |
-- | 2           | worker        | the worker's name                   |
-- | 3, 13, ...  | id            | of the job                          |
-- | 4, 14, ...  | execution     | its id                              |
-- | 5, 15, ...  | status        | RQ's                                |
-- | 6, 16, ...  | result_type   | RQ's, or '' for no result           |
-- | 7, 17, ...  | started       | seconds since the epoch             |
-- | 8, 18, ...  | ended         | seconds since the epoch             |
-- | 9, 19, ...  | ended_iso     | the same as RQ writes it            |
-- | 10, 20, ... | ttl           | seconds that the records are kept   |
-- | 11, 21, ... | exception     | zlib, or ''                         |
-- | 12, 22, ... | exception_b64 | base64 of zlib, or ''               |
--
-- Returns how many executions were finalized.

local FIELDS = 10
local worker_key, executions = KEYS[1], KEYS[2]
local prefix, worker = ARGV[1], ARGV[2]
local finalized, good, bad, worked = 0, 0, 0, 0

local function record(id, execution, result_type, started, ended, ttl, exception)
  local key = prefix .. ':results:' .. id
  local fields = {'type', result_type, 'worker_name', worker, 'execution_id', execution,
    'execution_started_at', started, 'execution_ended_at', ended}
  if exception ~= '' then
    fields[#fields + 1] = 'exc_string'
    fields[#fields + 1] = exception
  end
  redis.call('XADD', key, 'MAXLEN', '10', '*', unpack(fields))
  redis.call('EXPIRE', key, ttl)
end

local function finalize(job, wip, registry, at)
  local id, execution, status, result_type = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local started, ended, ttl = ARGV[at + 4], ARGV[at + 5], tonumber(ARGV[at + 7])
  local composite = id .. ':' .. execution
  redis.call('SREM', executions, composite)
  if redis.call('ZREM', wip, composite) == 0 then -- the removal is the fence: only one worker can succeed
    return
  end
  finalized = finalized + 1
  worked = worked + ended - started
  if status == 'finished' then
    good = good + 1
  elseif status ~= 'canceled' then
    bad = bad + 1
  end
  redis.call('DEL', prefix .. ':execution:' .. composite)
  redis.call('ZREM', prefix .. ':executions:' .. id, execution)
  if redis.call('EXISTS', job) == 0 then
    return -- `rq empty` has deleted it meanwhile
  end
  redis.call('HSET', job, 'status', status, 'ended_at', ARGV[at + 6], 'ended', status)
  if ARGV[at + 8] ~= '' then
    redis.call('HSET', job, 'exc_info', ARGV[at + 8])
  end
  redis.call('EXPIRE', job, ttl)
  redis.call('ZADD', registry, math.floor(ended) + ttl, id)
  redis.call('ZREMRANGEBYSCORE', registry, 0, ended)
  if result_type ~= '' then
    record(id, execution, result_type, started, ended, ttl, ARGV[at + 9])
  end
end

for i = 3, #KEYS, 3 do
  finalize(KEYS[i], KEYS[i + 1], KEYS[i + 2], 3 + (i - 3) / 3 * FIELDS)
end

if finalized > 0 and redis.call('EXISTS', worker_key) == 1 then
  redis.call('HINCRBY', worker_key, 'successful_job_count', good)
  redis.call('HINCRBY', worker_key, 'failed_job_count', bad)
  redis.call('HINCRBYFLOAT', worker_key, 'total_working_time', string.format('%.6f', worked))
end
return finalized
