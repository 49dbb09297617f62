"""Write result streams: one writer a process, one event stream a run, with its window.

Nothing here knows providers, requests or settings files. Internal: may change without notice.
"""
