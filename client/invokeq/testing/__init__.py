"""A fake session for plugins' own tests: no Redis, no worker, answers by a script.

It checks arguments, starts lazily, accumulates and raises as the real one does, because that part
is the real one's code. It promises nothing about time: a model answers as fast as it is read, and a
detached invocation has ended by the time one looks.
"""

from invokeq.testing.async_session import FakeAsyncSession
from invokeq.testing.script import UnscriptedCallError
from invokeq.testing.session import FakeSession

__all__ = ["FakeAsyncSession", "FakeSession", "UnscriptedCallError"]
