"""HTTP servers that stand in for the vendors of models.

The expected answers of each vendor live beside the contract tests in `tests/contract`.
"""
