"""Keep a worker process working: claim jobs, hold runs, send heartbeats, watch readers, reap.

What one run does is in `attempts`. Settings come from `config`, connections from `redis`, streams
from `streams`. Internal: may change without notice.
"""
