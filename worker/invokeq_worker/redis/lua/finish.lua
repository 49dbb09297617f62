-- Close RQ's books on executions that have ended. One that is not in the registry any more is passed over: then
-- another worker has taken the job over, and its books are not ours to close.
--
-- | KEYS    | type | what                     |
-- | 1       | hash | worker                   |
-- | 2       | set  | executions of the worker |
-- | 3, 6... | hash | job                      |
-- | 4, 7... | zset | wip registry of the lane |
-- | 5, 8... | zset | registry the job goes to |
--
-- ARGV: prefix, worker name, then for each job: id, execution, status, result type or '', started (epoch), ended
-- (epoch), ended (ISO), ttl, exception (zlib) or '', exception (base64 of zlib) or ''.
-- Returns how many books were closed.

local FIELDS = 10
local prefix, worker = ARGV[1], ARGV[2]
local closed, good, bad, worked = 0, 0, 0, 0

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

local function close(job, wip, registry, at)
  local id, execution, status, result_type = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local started, ended, ttl = ARGV[at + 4], ARGV[at + 5], tonumber(ARGV[at + 7])
  local composite = id .. ':' .. execution
  redis.call('SREM', KEYS[2], composite)
  if redis.call('ZREM', wip, composite) == 0 then
    return
  end
  closed = closed + 1
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
  close(KEYS[i], KEYS[i + 1], KEYS[i + 2], 3 + (i - 3) / 3 * FIELDS)
end

if closed > 0 and redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], 'successful_job_count', good)
  redis.call('HINCRBY', KEYS[1], 'failed_job_count', bad)
  redis.call('HINCRBYFLOAT', KEYS[1], 'total_working_time', string.format('%.6f', worked))
end
return closed
