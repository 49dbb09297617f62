-- Close RQ's books on one execution. Does nothing if the execution is not in the registry any more: then
-- another worker has taken the job over, and its books are not ours to close.
--
-- | KEYS | type | what                     |
-- | 1    | hash | job                      |
-- | 2    | zset | wip registry of the lane |
-- | 3    | zset | registry the job goes to |
-- | 4    | hash | worker                   |
-- | 5    | set  | executions of the worker |
--
-- ARGV: prefix, id, execution, worker name, status, result type, ended (ISO), ended (epoch), started (epoch),
-- ttl, exception (zlib) or '', exception (base64 of zlib) or ''.
-- Returns 1, or 0 when there was nothing to close.

local prefix, id, execution, worker = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local status, result_type, ended_iso = ARGV[5], ARGV[6], ARGV[7]
local ended, started, ttl = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local composite = id .. ':' .. execution

redis.call('SREM', KEYS[5], composite)
if redis.call('ZREM', KEYS[2], composite) == 0 then
  return 0
end
redis.call('DEL', prefix .. ':execution:' .. composite)
redis.call('ZREM', prefix .. ':executions:' .. id, execution)

if redis.call('EXISTS', KEYS[1]) == 1 then -- `rq empty` may have deleted it meanwhile
  redis.call('HSET', KEYS[1], 'status', status, 'ended_at', ended_iso, 'ended', status)
  if ARGV[11] ~= '' then
    redis.call('HSET', KEYS[1], 'exc_info', ARGV[11])
  end
  redis.call('EXPIRE', KEYS[1], ttl)
  redis.call('ZREMRANGEBYSCORE', KEYS[3], 0, ended)
  redis.call('ZADD', KEYS[3], math.floor(ended) + ttl, id)
  if result_type ~= '' then
    local results = prefix .. ':results:' .. id
    local fields = {'type', result_type, 'worker_name', worker, 'execution_id', execution,
      'execution_started_at', ARGV[9], 'execution_ended_at', ARGV[8]}
    if ARGV[12] ~= '' then
      fields[#fields + 1] = 'exc_string'
      fields[#fields + 1] = ARGV[12]
    end
    redis.call('XADD', results, 'MAXLEN', '10', '*', unpack(fields))
    redis.call('EXPIRE', results, ttl)
  end
end

if redis.call('EXISTS', KEYS[4]) == 1 then
  local counter = status == 'finished' and 'successful_job_count' or 'failed_job_count'
  if status ~= 'canceled' then
    redis.call('HINCRBY', KEYS[4], counter, 1)
  end
  redis.call('HINCRBYFLOAT', KEYS[4], 'total_working_time', string.format('%.6f', ended - started))
end
return 1
