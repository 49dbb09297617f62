"""The fake sessions: `Session` and `AsyncSession` on a Redis in memory, with a scripted worker."""

from collections.abc import Sequence

from invokeq.async_session import AsyncSession
from invokeq.operations.directory import Directory
from invokeq.protocol.requests import CallRequest
from invokeq.session import Session
from invokeq.session_base import SessionParts
from invokeq.testing.memory_redis import MemoryRedis
from invokeq.testing.models import FakeAsyncModels, FakeModels
from invokeq.testing.transport import NOWHERE, FakeAsyncTransport, FakeDirectory, FakeTransport
from invokeq.testing.worker import FakeWorker
from invokeq.transport.aio import AsyncTransport
from invokeq.transport.blocking import Transport

# Nobody assigns these attributes, so each may be of a narrower type.
# pyright: reportIncompatibleVariableOverride=false


class _Scripted:
    """The server in memory, the worker, and the record of calls, for both fake sessions."""

    def __init__(
        self, plugin_id: str = "test", tenant_id: str | None = None, user_id: str | None = None
    ) -> None:
        self._redis = MemoryRedis()
        self._worker = self._redis.worker = FakeWorker(self._redis)
        # The next base is the session itself, whose hooks below need the server.
        super().__init__(plugin_id, tenant_id, user_id, redis=NOWHERE)  # pyright: ignore[reportCallIssue]: of a mixin

    @property
    def calls(self) -> Sequence[CallRequest]:
        """Return the requests so far, of all kinds, validated, in order of sending."""
        return self._worker.calls

    @property
    def request_ids(self) -> Sequence[str]:
        """Return the ids of the invocations, in the same order; see `attach(id).status()`."""
        return self._redis.request_ids

    def _new_directory(self) -> Directory:
        return FakeDirectory()


class FakeSession(_Scripted, Session):
    """A session for tests: scripted answers instead of models, and a record of the calls."""

    model: FakeModels

    def _open_transport(self, redis: str | None) -> Transport:
        return FakeTransport(self._redis)

    def _new_models(self, parts: SessionParts[Transport]) -> FakeModels:
        return FakeModels(self._worker, *parts)


class FakeAsyncSession(_Scripted, AsyncSession):
    """An asyncio session for tests; as `FakeSession`."""

    model: FakeAsyncModels

    def _open_transport(self, redis: str | None) -> AsyncTransport:
        return FakeAsyncTransport(self._redis)

    def _new_models(self, parts: SessionParts[AsyncTransport]) -> FakeAsyncModels:
        return FakeAsyncModels(self._worker, *parts)
