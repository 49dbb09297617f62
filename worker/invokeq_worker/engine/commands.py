"""Listen for commands: RQ's worker commands, and request ids to cancel on invokeq's own channel.

Redis publishes at most once, so a command can be lost. A cancel needs no delivery: the cancel
is also written to the reader's lease, which the heartbeat polls every second.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, cast

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from invokeq.protocol.redis import keys

REMEMBER: Final = 10.0
"""Seconds to remember a cancel, for a claim of the job on its way."""

REMEMBERED: Final = 10_000
"""Most cancels in memory."""

PAUSE: Final = 0.5
"""Seconds to wait while Redis is unavailable."""

log: Final = structlog.get_logger(__name__)


class EarlyCancels:
    """Cancels that overtook the claim of the job, kept for REMEMBER seconds."""

    def __init__(self) -> None:
        self._reasons: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def add(self, request_id: str, reason: str) -> None:
        """Remember a cancel; workers hear all cancels, so most are of jobs elsewhere."""
        self._reasons[request_id] = (reason, time.monotonic())
        while len(self._reasons) > REMEMBERED:
            self._reasons.popitem(last=False)

    def take(self, request_id: str) -> str | None:
        """Forget the cancel of a request and return the reason, or None."""
        if not self._reasons:
            return None
        reason, at = self._reasons.pop(request_id, ("", 0.0))
        return reason if reason and time.monotonic() - at < REMEMBER else None


class Commands:
    """Subscribes to the worker's RQ channel and to the cancel channel."""

    def __init__(
        self,
        redis: Redis,
        worker: str,
        on_cancel: Callable[[str, str], None],
        on_command: Callable[[dict[str, Any]], None],
    ) -> None:
        self._redis = redis
        self._channels = (keys.worker_channel(worker), keys.CANCEL_CHANNEL)
        self._on_cancel = on_cancel
        self._on_command = on_command
        self.subscribed: asyncio.Event = asyncio.Event()

    async def run(self) -> None:
        """Listen forever; reconnect when the connection breaks."""
        while True:
            try:
                pubsub: Any = self._redis.pubsub()  # redis-py does not type its messages
                async with pubsub:
                    await pubsub.subscribe(*self._channels)
                    async for message in pubsub.listen():
                        self._dispatch(message)
            except (RedisError, OSError) as error:
                log.warning("command channel unavailable", problem=str(error))
                await asyncio.sleep(PAUSE)

    def _dispatch(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self.subscribed.set()
        elif message["type"] == "message":
            if message["channel"].decode() == keys.CANCEL_CHANNEL:
                request_id, _, reason = message["data"].decode(errors="replace").partition(" ")
                self._on_cancel(request_id, reason or "caller")
            else:
                self._dispatch_command(message["data"])

    def _dispatch_command(self, data: bytes) -> None:
        try:
            command: Any = orjson.loads(data)
        except orjson.JSONDecodeError:
            command = None
        if isinstance(command, dict):
            self._on_command(cast(dict[str, Any], command))
        else:
            log.warning("command malformed", size=len(data))
