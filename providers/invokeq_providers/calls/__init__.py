"""Serves a request: what each kind of call makes of a provider's methods. One file a kind."""

from invokeq_providers.calls.outputs import (
    Output,
    Result,
    Scores,
    Segment,
    Services,
    UsageReport,
    Vectors,
)
from invokeq_providers.calls.serve import serve

__all__ = [
    "Output",
    "Result",
    "Scores",
    "Segment",
    "Services",
    "UsageReport",
    "Vectors",
    "serve",
]
