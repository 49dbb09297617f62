"""Define `session.model.*`: one file a kind of call, with Dify's signatures.

Signatures and the order of arguments live here. Validation is in `requests`, decoding in `results`.

Internal: may change without notice; `invokeq` exports the classes.
"""
