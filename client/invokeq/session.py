"""`Session`: calls models over the queue with blocking sockets, under threads or gevent.

`session.model.llm.invoke(...)` and the other calls have Dify's signatures.
"""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from invokeq.invocation import Invocation
from invokeq.keeper import keeper_of
from invokeq.models.calls import read_submitted, taking_back
from invokeq.models.models import Models
from invokeq.operations.call import Call, Item, Result
from invokeq.operations.directory import LiveWorker
from invokeq.operations.enqueue import PendingJob
from invokeq.operations.submit_many import submit_many
from invokeq.protocol.requests import CallRequest
from invokeq.session_base import BaseSession, SessionParts
from invokeq.transport.blocking import Transport
from invokeq.transport.cluster import open_transport


class Session(BaseSession[Transport, Models]):
    """Calls models for a plugin; cheap to make, safe to share between threads and greenlets.

    `redis` is a URL (redis, rediss or unix); without it, INVOKEQ_REDIS_URL or the local default.
    The first call connects. Times are in seconds: `pickup_timeout` bounds the wait for a worker,
    `orphan_timeout` is how long an invocation outlives the reader.
    """

    def submit_many(self, calls: Iterable[Call[Item, Result]]) -> list[Invocation[Item, Result]]:
        """Enqueue calls of any kinds from `session.model.<kind>.prepare(...)`, all or none.

        Returns a handle for each, in their order. The session keeps each invocation alive, as with
        `submit`, until its handle is left. A call whose request id is known already, also from the
        same list, attaches.

        Costs one round trip for every 256 calls or 4 MB; one more each if the caller gave request
        ids, one in all when the directory is over a second old, and on a cluster one for every
        master. When a call is refused, the first error is raised, and submitted calls are
        withdrawn, or cancelled if already claimed by a worker. `taken_back` of the error is the
        number of withdrawn and cancelled calls.
        """
        listed = list(calls)
        transport, directory, options = self._parts
        begun: list[PendingJob] = []
        with taking_back(transport, begun):
            submitted = transport.run(submit_many(options, directory, listed, begun))
            handles = [
                read_submitted(transport, options, call, result)
                for call, result in zip(listed, submitted, strict=True)
            ]
        for handle in handles:
            handle.keep()
        return handles

    def attach(
        self, request_id: str, after: str | None = None, *, request: CallRequest | None = None
    ) -> Invocation[Any, Any]:
        """Read a submitted invocation, from its start or after an event id.

        Reading does not keep the invocation alive, and leaving does not cancel. With the `request`,
        as in `Call.request`, items and result have the types of the call; without `request` a
        ranking has no texts, only each `index`. The first read raises StreamExpiredError for an
        unknown id.
        """
        reader, decoder = self._attached(request_id, after, request)
        return Invocation(self._parts.transport, reader, decoder, detached=True)

    def workers(self) -> tuple[LiveWorker, ...]:
        """Return the live workers, with models. At most two round trips; none while fresh."""
        return self._parts.transport.run(self._parts.directory.workers())

    def close(self) -> None:
        """Cancel the open handles that are not detached, and close the connections."""
        keeper_of(self._parts.transport).finish()
        self._parts.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open_transport(self, redis: str | None) -> Transport:
        return open_transport(redis)

    def _new_models(self, parts: SessionParts[Transport]) -> Models:
        return Models(*parts)
