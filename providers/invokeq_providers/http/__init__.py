"""Speak HTTP to vendors, and map statuses and transport faults to errors.

Here live the client, server-sent events, and errors of statuses and connections. The bodies of
requests and answers live in the folders of the vendors.

Internal: may change without notice.
"""
