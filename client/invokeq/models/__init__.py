"""Define `session.model.*`: one file a kind of call, with Dify's signatures.

Signatures and the order of arguments live here. Validation is in `requests`, decoding in `results`.
"""
