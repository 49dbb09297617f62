"""Helpers that several folders of tests share: servers, processes, vendors and waits.

No tests live here, and no helper that only one test file needs.
"""
