"""Turn events of a result stream into what a call returns: text, vectors, rankings, audio.

Pure functions. Reading the stream is the task of `operations`.
"""
