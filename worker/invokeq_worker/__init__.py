"""The worker side of invokeq: what an operator runs."""
