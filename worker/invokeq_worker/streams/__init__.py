"""Write result streams: one writer a process, one event stream a run, with its window.

Knows nothing of providers.
"""
