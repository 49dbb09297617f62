"""What a plugin holds: `session.model.llm.invoke(...)` and its siblings, over the queue."""

from collections.abc import Iterable
from copy import copy
from types import TracebackType
from typing import Any, Self

from invokeq.invocation import Invocation
from invokeq.models.calls import read_submitted
from invokeq.models.llm import LLM
from invokeq.models.llm_structured_output import LLMStructuredOutput
from invokeq.models.moderation import Moderation
from invokeq.models.rerank import Rerank
from invokeq.models.speech2text import Speech2Text
from invokeq.models.summary import Summary
from invokeq.models.text_embedding import TextEmbedding
from invokeq.models.tts import TTS
from invokeq.operations.call import Call, Item, Result
from invokeq.operations.directory import Directory, LiveWorker
from invokeq.operations.options import (
    MAX_FILE_BYTES,
    MAX_REQUEST_BYTES,
    ORPHAN_TIMEOUT,
    PICKUP_TIMEOUT,
    SessionOptions,
)
from invokeq.operations.reader import attached_reader
from invokeq.operations.submit_many import submit_many
from invokeq.results.decode import ANY
from invokeq.transport.cluster import open_transport


class Models:
    """`session.model`: one attribute a model type."""

    def __init__(self, session: "Session") -> None:
        calls = (session.transport, session.directory, session.options)
        self.llm = LLM(*calls)
        self.llm_structured_output = LLMStructuredOutput(*calls)
        self.moderation = Moderation(*calls)
        self.rerank = Rerank(*calls)
        self.speech2text = Speech2Text(*calls)
        self.summary = Summary(*calls)
        self.text_embedding = TextEmbedding(*calls)
        self.tts = TTS(*calls)


class Session:
    """A plugin's door to the models; cheap to make, safe to share between threads and greenlets.

    `redis` is a URL (redis, rediss or unix); without it, INVOKEQ_REDIS_URL or the local default.
    Nothing is sent before the first call. Times are in seconds: `pickup_timeout` bounds the wait
    for a worker, `orphan_timeout` is how long an invocation outlives its reader.
    """

    def __init__(
        self,
        plugin_id: str,
        tenant_id: str | None = None,
        user_id: str | None = None,
        *,
        redis: str | None = None,
        pickup_timeout: float = PICKUP_TIMEOUT,
        orphan_timeout: float = ORPHAN_TIMEOUT,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        self.options = SessionOptions(
            plugin_id=plugin_id,
            tenant_id=tenant_id,
            user_id=user_id,
            pickup_timeout=pickup_timeout,
            orphan_timeout=orphan_timeout,
            max_request_bytes=max_request_bytes,
            max_file_bytes=max_file_bytes,
        )
        self.transport = open_transport(redis)
        self.directory = Directory()
        self.model = Models(self)

    def on_behalf_of(
        self, plugin_id: str, tenant_id: str | None = None, user_id: str | None = None
    ) -> Self:
        """Give a session of another sender, over the connections and in the lane of this one.

        For callers that serve many plugins: workers believe it only of plugins that the operator
        trusts, and fail its calls with PermissionDeniedError otherwise. Close this one, not that.
        """
        spoken = copy(self)
        spoken.options = self.options.on_behalf_of(plugin_id, tenant_id, user_id)
        spoken.model = type(self.model)(spoken)
        return spoken

    def submit_many(self, calls: Iterable[Call[Item, Result]]) -> list[Invocation[Item, Result]]:
        """Enqueue calls that `session.model.<kind>.prepare(...)` gave, of any kinds, all or none.

        Gives a handle for each, in their order; each lives by its reader, as with `submit`: what is
        not read within `orphan_timeout` is cancelled, unless it is detached. A request id that is
        known already, be it from the same list, attaches.

        Costs one round trip for every 256 calls or 4 MB; one more each if the caller gave request
        ids, one in all when the session has sent nothing for a second, and on a cluster one for
        every master. When one is refused, the first error is raised and what was submitted is taken
        back, or cancelled where a worker was quicker: `taken_back` of the error counts them.
        """
        listed = list(calls)
        done = self.transport.run(submit_many(self.options, self.directory, listed))
        return [
            read_submitted(self.transport, self.options, call, submitted)
            for call, submitted in zip(listed, done, strict=True)
        ]

    def attach(self, request_id: str, after: str | None = None) -> Invocation[Any, Any]:
        """Read an invocation that somebody submitted, from its start or after an event id.

        Reading does not keep the invocation alive and leaving does not cancel it. A ranking comes
        without the texts, which only its caller has: `index` tells the documents apart. Raises
        StreamExpiredError on the first read if nothing is known of the id.
        """
        reader = attached_reader(self.options, request_id, after)
        return Invocation(self.transport, reader, ANY, detached=True)

    def workers(self) -> tuple[LiveWorker, ...]:
        """List the live workers with what they serve."""
        return self.transport.run(self.directory.workers())

    def close(self) -> None:
        """Close the connections; what runs goes on until its reader's lease lapses."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
