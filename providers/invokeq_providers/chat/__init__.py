"""Translate chat requests and answers in OpenAI's shape, and hold the parts of all chat vendors.

Here live requests, responses, stop words, thinking, sentences and the checks of answer schemas.
Vendors' addresses and errors live in the folders of the vendors.

Internal: may change without notice.
"""
