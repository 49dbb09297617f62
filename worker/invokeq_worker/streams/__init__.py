"""Write result streams: one writer a process, one event stream a run, with a window.

Providers, requests and settings files are unknown here. Internal: may change without notice.
"""
