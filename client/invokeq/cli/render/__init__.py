"""Printing: answers of all kinds, audio, tables, texts, and the summary line of an invocation.

Commands live in the other folders of `cli`. No module here opens a connection to Redis.
"""
