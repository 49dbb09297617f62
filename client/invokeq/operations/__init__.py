"""Plans of round trips: enqueue, read, cancel, look up; backpressure and admission.

No I/O happens here: `transport` executes the plans. Requests are built in `requests`, and events
become results in `results`.

Internal: may change without notice.
"""
