"""Translate chat requests and answers in OpenAI's shape, and hold what all chat vendors share.

Here live requests, responses, stop words, thinking, sentences and answers that obey a schema.
Vendors' addresses and errors live in the folders of the vendors.

Internal: may change without notice.
"""
