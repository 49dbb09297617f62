"""Decode events of a result stream into items and results: text, vectors, rankings, audio.

Pure functions. Reading the stream is the task of `operations`.

Internal: may change without notice.
"""
