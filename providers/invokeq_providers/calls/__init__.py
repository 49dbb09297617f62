"""Serves a request: what each kind of call makes of a provider's methods. One file a kind."""

from invokeq_providers.calls.outputs import Result, Said, Scores, Segment, Services, Used, Vectors
from invokeq_providers.calls.serve import serve

__all__ = ["Result", "Said", "Scores", "Segment", "Services", "Used", "Vectors", "serve"]
