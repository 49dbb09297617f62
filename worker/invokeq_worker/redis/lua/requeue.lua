-- Put a claimed job back at the head of its lane, as if it had never been claimed; its attempt stays counted.
--
-- | KEYS | type | what                                    |
-- | 1    | hash | job                                     |
-- | 2    | zset | wip registry of the lane                |
-- | 3    | list | lane                                    |
-- | 4    | set  | executions of the worker                |
-- | 5    | set  | ready: plugins whose lane may have work |
-- | 6    | list | wakeup                                    |
--
-- ARGV: prefix, id, execution, plugin, ttl.
-- Returns 1, or 0 when the execution was not in the registry any more.

local prefix, id, execution = ARGV[1], ARGV[2], ARGV[3]
local composite = id .. ':' .. execution

redis.call('SREM', KEYS[4], composite)
if redis.call('ZREM', KEYS[2], composite) == 0 then
  return 0
end
redis.call('DEL', prefix .. ':execution:' .. composite)
redis.call('ZREM', prefix .. ':executions:' .. id, execution)
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'status', 'queued', 'worker_name', '', 'started_at', '')
redis.call('EXPIRE', KEYS[1], tonumber(ARGV[5]))
redis.call('LPUSH', KEYS[3], id)
redis.call('SADD', KEYS[5], ARGV[4])
redis.call('LPUSH', KEYS[6], '1')
return 1
