"""Measures invokeq against stock RQ, in one run on one server; `python -m bench`."""
