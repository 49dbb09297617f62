"""Run model calls as RQ jobs: the side of invokeq for operators.

`invokeq_worker.entry` is public. Everything else is Internal: may change without notice.
"""
