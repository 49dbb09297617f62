"""One session with a plugin's process: messages of the plugin, and answers to its calls."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias, cast

from invokeq.dify.logs import EventLogger
from invokeq.dify.plugins.lines import Message
from invokeq.dify.reverse_kinds import is_streamed
from invokeq.protocol.errors import InvokeqError, PermissionDeniedError, PluginFailedError

OnReverse: TypeAlias = Callable[[str, Mapping[str, Any]], AsyncIterator[dict[str, Any]]]
"""Answers a call of the plugin: takes the kind and the `request`, yields the data of each event.

An exception reaches the plugin as text, because the SDK shows only text.
"""

_NO_REVERSE_CALLS: Final = "this plugin may make no calls here"
_CLOSED: Final = "the session was closed"
# Race: the SDK sends its call before it listens for the answer, and drops an earlier answer.
_SDK_READY_S: Final = 0.01

log: Final = EventLogger(__name__)


class ProcessChannel(Protocol):
    """The connection of a session to the process."""

    def write(self, message: Mapping[str, Any]) -> None:
        """Send a message without blocking; do nothing after the process has ended."""
        ...

    async def drain(self) -> None:
        """Wait until the process has read most of the sent messages (backpressure)."""
        ...

    def redact(self, text: str) -> str:
        """Return the text with all secrets masked."""
        ...


class ProcessSession:
    """Buffers the unread messages of one session in memory."""

    def __init__(
        self, session_id: str, plugin: str, channel: ProcessChannel, on_reverse: OnReverse | None
    ):
        self.id = session_id
        self._plugin = plugin
        self._channel = channel
        self._on_reverse = on_reverse
        self._queue: asyncio.Queue[dict[str, Any] | InvokeqError | None] = asyncio.Queue()
        self._answers: set[asyncio.Task[None]] = set()

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the data of each stream message; raise the error that ends the session."""
        while (item := await self._queue.get()) is not None:
            if isinstance(item, InvokeqError):
                raise item
            yield item

    def fail(self, error: InvokeqError) -> None:
        """End the session with an error, behind the messages so far."""
        self._queue.put_nowait(error)

    def take(self, data: Message) -> None:
        """Take one message of the session."""
        kind, inner = data.get("type"), data.get("data")
        content = cast(dict[str, Any], inner) if isinstance(inner, dict) else {}
        match kind:
            case "stream":
                self._queue.put_nowait(content)
            case "error":
                self.fail(self._error(content))
            case "end":
                self._queue.put_nowait(None)
            case "invoke":
                self._answer(content)
            case _:
                log.warning("unknown message type", plugin=self._plugin, type=f"{kind!r:.40}")

    async def close(self) -> None:
        """Cancel the answers that run; the process drops later messages of the session."""
        for task in self._answers:
            task.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)

    def _error(self, content: Mapping[str, Any]) -> PluginFailedError:
        """Return the error without the traceback of newer SDKs, which may quote secrets."""
        return PluginFailedError(
            plugin=self._plugin,
            error_type=str(content.get("error_type") or "Exception"),
            message=self._channel.redact(" ".join(str(content.get("message") or "").split())),
        )

    def _answer(self, call: Message) -> None:
        call_id, kind, request = (
            call.get(key) for key in ("backwards_request_id", "type", "request")
        )
        if not (isinstance(call_id, str) and isinstance(kind, str) and isinstance(request, dict)):
            self.fail(
                PluginFailedError(
                    plugin=self._plugin,
                    error_type="ProtocolError",
                    message="a call lacks type, backwards_request_id or request",
                )
            )
            return
        coroutine = self._answered(call_id, kind, cast(dict[str, Any], request))
        task = asyncio.get_running_loop().create_task(coroutine)
        # The loop holds tasks weakly; the set also lets `close` cancel them.
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answered(self, call_id: str, kind: str, request: Mapping[str, Any]) -> None:
        problem: str | None = None
        loop = asyncio.get_running_loop()
        ready_at = loop.time() + _SDK_READY_S
        try:
            async for data in self._pieces(kind, request):
                await asyncio.sleep(ready_at - loop.time())
                how = "stream" if is_streamed(kind) else "struct"
                self._send(call_id, "response", how, data)
                await self._channel.drain()
        except asyncio.CancelledError:  # `close`: the plugin's thread waits and must get an answer
            problem = _CLOSED
            raise
        except InvokeqError as error:
            problem = str(error)
        except Exception as error:
            log.exception("reverse invocation failed", plugin=self._plugin, kind=kind[:40])
            problem = f"internal error: {type(error).__name__}"
        finally:
            # Not while cancelled: an await here would be cancelled as well.
            if problem != _CLOSED:
                await asyncio.sleep(ready_at - loop.time())
            if problem is not None:
                self._send(call_id, "error", problem, None)
            self._send(call_id, "end", "", None)

    async def _pieces(self, kind: str, request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        if self._on_reverse is None:
            raise PermissionDeniedError(problem=_NO_REVERSE_CALLS, plugin=self._plugin)
        pieces = self._on_reverse(kind, request)
        try:
            async for piece in pieces:
                yield piece
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    def _send(self, call_id: str, event: str, message: str, data: Mapping[str, Any] | None) -> None:
        inner = {
            "backwards_request_id": call_id,
            "event": event,
            "message": message,
            "data": data,
        }
        self._channel.write(backwards_response(self.id, inner))


def backwards_response(session_id: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message for an event in the answer to a call of the plugin."""
    return {**_envelope(session_id), "event": "backwards_response", "data": event}


def forward_request(session_id: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the opening message of a session."""
    return {**_envelope(session_id), "event": "request", "data": data}


def refusal(session_id: str, call: object) -> dict[str, Any] | None:
    """Return the error message for a call in a closed session, or None for a broken call."""
    call_id = cast(Message, call).get("backwards_request_id") if isinstance(call, dict) else None
    if not isinstance(call_id, str):
        return None
    event = {"backwards_request_id": call_id, "event": "error", "message": _CLOSED, "data": None}
    return backwards_response(session_id, event)


def _envelope(session_id: str) -> dict[str, Any]:
    nothing = ("conversation_id", "message_id", "app_id", "endpoint_id", "context")
    return {"session_id": session_id, **dict.fromkeys(nothing)}
