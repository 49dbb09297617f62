"""Hold facts about models as data, and derive usage, prices and properties.

Here live the reading of facts, and pure functions of facts. Calls of models live elsewhere.

Internal: may change without notice.
"""
