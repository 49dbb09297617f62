"""Serve a request: check, call a provider's methods, and yield outputs. One file for each kind.

Here live the rules of each kind: the limits that the facts of a model set, the cutting of a request
into vendor calls, and the outputs. The worker turns outputs into events in Redis.
Public: the names exported here, for kinds of third parties.

Internal: all modules of this package may change without notice.
"""

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
