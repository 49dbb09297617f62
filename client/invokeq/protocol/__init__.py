"""The wire contract between callers and workers, in any version of either.

Public are `entities`, `requests`, `events`, `errors` and `codec`; operators pass
`codec.OrjsonSerializer` to RQ's tools. Changes of the wire are versioned and named in the
changelog.

Internal: all other modules (`audio`, `contents`, `directory`, `kinds`, `lease`, `names`,
`permissions`, `usage`, `error_base` and `redis`) may change without notice. `invokeq` exports the
types from internal modules which public signatures mention.
"""
