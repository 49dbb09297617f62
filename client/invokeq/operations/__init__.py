"""Express what a client asks of Redis as plans of round trips: enqueue, read, cancel, look up.

No I/O happens here: `transport` executes the plans. Requests are built in `requests`, and events
become results in `results`.
"""
