"""The shared context of all runs of a worker: settings, writer, and helpers with own state."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from invokeq.protocol.errors import InternalError
from invokeq.protocol.redis.resp import Command
from invokeq.protocol.requests import BodyRef
from invokeq.transport.batch import RedisConnectionLostError
from invokeq.transport.connection import RedisConnection
from invokeq_providers.base import Provider
from invokeq_worker.attempts.decoding import join_body
from invokeq_worker.attempts.finalize import Attempt, Finalizer
from invokeq_worker.config.permissions import Permissions
from invokeq_worker.config.retry_policy import RetryPolicy
from invokeq_worker.config.values import Fallbacks, ModelRef
from invokeq_worker.streams.writer import Writer

BODY_TIMEOUT: Final = 30.0
"""Seconds to fetch a request body from beside the job."""

MOST_FINDINGS: Final = 1000
"""Most findings in the log; made-up names must fill neither the memory nor the log."""

LONGEST_NAMES: Final = 100
"""Characters of parameter names in one finding."""

log: Final = structlog.get_logger(__name__)


class BodyFetcher:
    """Fetches request bodies and files over one connection, one body at a time."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        # A connection must not be shared between tasks, and every run is a task.
        self._lock = asyncio.Lock()

    async def fetch(self, request_id: str, key: Callable[[str, int], str], ref: BodyRef) -> bytes:
        """Return the joined parts under `key(request_id, n)`. One round trip.

        Raises InternalError when the connection breaks or a part is missing.
        """
        commands: list[Command] = [("GET", key(request_id, n)) for n in range(ref.parts)]
        try:
            async with self._lock:
                parts = await self._connection.exchange(commands, BODY_TIMEOUT)
        except RedisConnectionLostError as error:
            raise InternalError(detail=f"the request body could not be fetched: {error}") from None
        return await join_body(ref, parts)


class IgnoredParameters:
    """Logs parameters that a model does not have, each finding once a process."""

    def __init__(self) -> None:
        self._logged: set[tuple[str, str, str]] = set()

    def note(self, provider: str, model: str, parameters: Sequence[str]) -> None:
        """Log parameters unknown to a model, unless the finding was logged before."""
        if not parameters or len(self._logged) >= MOST_FINDINGS:
            return
        names = ", ".join(sorted(parameters))[:LONGEST_NAMES]
        finding = (provider, model, names)
        if finding not in self._logged:
            self._logged.add(finding)
            log.info("parameters ignored", provider=provider, model=model, parameters=names)


@dataclass(frozen=True, slots=True)
class RunContext:
    """The shared context of all runs of a worker.

    `wait_for_reader` waits until the reader of a run has read enough. `provider_silence` is in
    seconds.
    """

    worker: str
    providers: Mapping[str, Provider]
    writer: Writer
    bodies: BodyFetcher
    finalizer: Finalizer
    wait_for_reader: Callable[[Attempt], Awaitable[None]]
    provider_silence: float
    trusted: Collection[str]
    permissions: Permissions
    summary_model_of: Callable[[str | None], str | None]
    ignored: IgnoredParameters = field(default_factory=IgnoredParameters)
    policy_of: Callable[[str], RetryPolicy] = lambda _: RetryPolicy()
    fallbacks: Fallbacks = field(default_factory=dict[ModelRef, list[ModelRef]])
