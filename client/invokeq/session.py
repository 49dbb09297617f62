"""`Session`: calls models over the queue with blocking sockets, under threads or gevent.

`session.model.llm.invoke(...)` and its siblings have Dify's signatures.
"""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from invokeq.invocation import Invocation
from invokeq.models.calls import read_submitted
from invokeq.models.models import Models
from invokeq.operations.call import Call, Item, Result
from invokeq.operations.directory import LiveWorker
from invokeq.operations.submit_many import submit_many
from invokeq.protocol.requests import CallRequest
from invokeq.session_base import BaseSession, SessionParts
from invokeq.transport.blocking import Transport
from invokeq.transport.cluster import open_transport


class Session(BaseSession[Transport, Models]):
    """Calls models for a plugin; cheap to make, safe to share between threads and greenlets.

    `redis` is a URL (redis, rediss or unix); without it, INVOKEQ_REDIS_URL or the local default.
    Nothing is sent before the first call. Times are in seconds: `pickup_timeout` bounds the wait
    for a worker, `orphan_timeout` is how long an invocation outlives its reader.
    """

    def submit_many(self, calls: Iterable[Call[Item, Result]]) -> list[Invocation[Item, Result]]:
        """Enqueue calls that `session.model.<kind>.prepare(...)` made, of any kinds, all or none.

        Returns a handle for each, in their order. Each invocation lives by its reader, as with
        `submit`: one that is not read within `orphan_timeout` is cancelled, unless it is detached.
        A call whose request id is known already, also from the same list, attaches.

        Costs one round trip for every 256 calls or 4 MB; one more each if the caller gave request
        ids, one in all when the session has sent nothing for a second, and on a cluster one for
        every master. When a call is refused, the first error is raised, and the submitted calls are
        withdrawn, or cancelled where a worker has claimed them: `taken_back` of the error counts
        these.
        """
        listed = list(calls)
        transport, directory, options = self._parts
        submitted = transport.run(submit_many(options, directory, listed))
        return [
            read_submitted(transport, options, call, result)
            for call, result in zip(listed, submitted, strict=True)
        ]

    def attach(
        self, request_id: str, after: str | None = None, *, request: CallRequest | None = None
    ) -> Invocation[Any, Any]:
        """Read a submitted invocation, from its start or after an event id.

        Reading does not keep the invocation alive, and leaving does not cancel it. With the
        `request`, as in `Call.request`, items and result are those of its kind of call; without it
        a ranking has no texts, only their `index`. Raises StreamExpiredError on the first read if
        the id is unknown.
        """
        reader, decoder = self._attached(request_id, after, request)
        return Invocation(self._parts.transport, reader, decoder, detached=True)

    def workers(self) -> tuple[LiveWorker, ...]:
        """Return the live workers with what they serve."""
        return self._parts.transport.run(self._parts.directory.workers())

    def close(self) -> None:
        """Close the connections; running invocations go on until their reader's lease lapses."""
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
