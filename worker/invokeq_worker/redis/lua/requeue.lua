-- Requeue a claimed job at the head of its lane, as if no worker had claimed the job; the attempt stays counted.
--
-- | KEYS | name       | type | what                              |
-- | 1    | job        | hash | RQ's record of the job            |
-- | 2    | wip        | zset | wip registry of the lane          |
-- | 3    | lane_list  | list | ids that wait in the lane         |
-- | 4    | executions | set  | executions of the worker          |
-- | 5    | ready      | set  | plugins whose lane may have work  |
-- | 6    | wakeup     | list | what idle workers block on        |
--
-- | ARGV | name      | what                            |
-- | 1    | prefix    | of RQ's keys                    |
-- | 2    | id        | of the job                      |
-- | 3    | execution | its id                          |
-- | 4    | plugin    | whose lane it is                |
-- | 5    | ttl       | seconds that the job is kept    |
--
-- Returns 1, or 0 when the execution was not in the registry any more.

local job, wip, lane_list, executions, ready, wakeup = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local prefix, id, execution, plugin, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local composite = id .. ':' .. execution

redis.call('SREM', executions, composite)
if redis.call('ZREM', wip, composite) == 0 then -- finished or requeued before: twice would run the job twice
  return 0
end
redis.call('DEL', prefix .. ':execution:' .. composite)
redis.call('ZREM', prefix .. ':executions:' .. id, execution)
if redis.call('EXISTS', job) == 0 then
  return 0
end
redis.call('HSET', job, 'status', 'queued', 'worker_name', '', 'started_at', '')
redis.call('EXPIRE', job, ttl)
redis.call('LPUSH', lane_list, id)
redis.call('SADD', ready, plugin)
redis.call('LPUSH', wakeup, '1')
return 1
