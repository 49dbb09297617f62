"""A plugin as a process of its own, with the SDK's protocol over stdin and stdout.

Promises: the messages of one session are complete and in order. The end of a process, or a kill
after a long silence, ends every session with PluginCrashedError. Requests and answers are never
logged. Not promised: an end of the plugin's work when a session is closed. The SDK has no message
for a cancel; the plugin's thread runs on and the output is dropped. Only calls by the thread of the
platform fail.
"""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, cast
from uuid import uuid4

import orjson

from invokeq.dify.logs import EventLogger
from invokeq.dify.plugins import launch
from invokeq.dify.plugins.lines import LineReader, Message, Noise, OversizedMessage
from invokeq.dify.plugins.package import PluginPackage
from invokeq.dify.plugins.process_session import OnReverse, ProcessSession, forward_request, refusal
from invokeq.dify.plugins.redaction import Redactor
from invokeq.dify.plugins.stderr_tail import MAX_WIDTH, StderrTail
from invokeq.dify.plugins.variables import plugin_variables
from invokeq.protocol.errors import InvokeqError, PluginCrashedError, PluginStartError

START_TIMEOUT: Final = 120.0
"""Seconds for all imports; a vendor's SDK may need ten on a busy machine."""

HEARTBEAT_TIMEOUT: Final = 120.0
"""Seconds without output after which a process counts as hung; the SDK's heartbeat is 10 s."""

CLOSE_TIMEOUT: Final = 5.0
"""Seconds from SIGTERM to SIGKILL."""

EXIT_TIMEOUT: Final = 1.0
"""Seconds from the end of a process's output to the exit; then the process is killed."""

_READ_BYTES: Final = 256 * 1024

# Output of a plugin may quote its callers' requests, so output is logged at debug only.
log: Final = EventLogger(__name__)


class PluginProcess:
    """One running process of a plugin, from `start` until `close`."""

    def __init__(self, package: PluginPackage, process: Process, redactor: Redactor) -> None:
        self.package = package
        self._process = process
        self._redactor = redactor
        self._sessions: dict[str, ProcessSession] = {}
        self._stray: set[str] = set()
        self._stderr = StderrTail(redactor, self._log_output)
        self._ready = asyncio.Event()
        self._gone = asyncio.Event()
        self._last_output_at = asyncio.get_running_loop().time()
        self._error: PluginCrashedError | None = None
        self._reason = ""
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def start(
        cls,
        package: PluginPackage,
        python: Path | str,
        *,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        start_timeout: float = START_TIMEOUT,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT,
    ) -> Self:
        """Start the plugin and wait for the first heartbeat; times are in seconds.

        On Linux the process ends with the thread of the caller, so call `start` on a long-lived
        thread. `env` is added to the few inherited variables. `secrets`,
        and the credentials of every call, are masked in logs and errors. Raises PluginStartError.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                str(python),
                launch.__file__,
                str(os.getpid()),
                package.manifest.meta.runner.entrypoint,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                cwd=package.directory,
                env=_variables(env or {}),
                start_new_session=True,  # Ctrl-C in a terminal must not reach the plugin
            )
        except OSError as error:
            raise PluginStartError(plugin=package.id, problem=f"{python}: {error}") from None
        self = cls(package, process, Redactor(tuple(secrets)))
        try:
            await self._wait_until_ready(start_timeout, heartbeat_timeout)
        except BaseException:
            await self.close()
            raise
        return self

    @property
    def pid(self) -> int:
        """Return the id of the process, which is also the id of the process group."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Return whether the process has ended or is closing."""
        return self._error is not None or bool(self._reason)

    @property
    def sessions(self) -> int:
        """Return the number of open sessions."""
        return len(self._sessions)

    @property
    def stray(self) -> int:
        """Return the number of closed sessions in which the plugin still works."""
        return len(self._stray)

    async def invoke(
        self,
        type: str,  # noqa: A002 -- the protocol's word
        action: str,
        request: Mapping[str, Any],
        *,
        user_id: str,
        on_reverse: OnReverse | None = None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Open a session and yield the data of each message.

        The first `anext()` sends the request; closing the generator closes the session. Raises
        PluginFailedError with the exception of the plugin's code, or PluginCrashedError.
        """
        if self.ended:
            raise self._crash()
        self._redactor.add(request.get("credentials"))
        session = ProcessSession(uuid4().hex, self.package.id, self, on_reverse)
        self._sessions[session.id] = session
        finished = False
        try:
            data = {**request, "type": type, "action": action, "user_id": user_id}
            self.write(forward_request(session.id, data))
            await self.drain()
            async for message in session.messages():
                yield message
            finished = True
        except InvokeqError:
            finished = True
            raise
        finally:
            # The plugin still works on a session that was left early: remember its id, so that
            # `stray` counts it and its later calls are refused.
            self._sessions.pop(session.id, None)
            if not (finished or self.ended):
                self._stray.add(session.id)
            await session.close()

    async def wait(self) -> PluginCrashedError:
        """Wait until the process has ended and return the reason."""
        await self._gone.wait()
        return self._crash()

    async def close(self) -> None:
        """End the process group: with SIGTERM, and with SIGKILL after `CLOSE_TIMEOUT`.

        Open sessions end with PluginCrashedError.
        """
        self._reason = self._reason or "the process was closed"
        await self._end()
        # Not the task that runs `close`: a task can neither cancel nor await itself.
        own = asyncio.current_task()
        for task in self._tasks:
            if task is not own:
                task.cancel()
        await asyncio.gather(
            *(task for task in self._tasks if task is not own), return_exceptions=True
        )
        self._fail_sessions()

    def write(self, message: Mapping[str, Any]) -> None:
        """Send a message; do nothing after the process has ended."""
        stdin = self._process.stdin
        if stdin is not None and not self.ended:
            stdin.write(orjson.dumps(message) + b"\n")

    async def drain(self) -> None:
        """Wait until the process has read most of the sent messages (backpressure)."""
        if self._process.stdin is not None:
            with contextlib.suppress(ConnectionError):  # the reader of stdout reports the end
                await self._process.stdin.drain()

    def redact(self, text: str) -> str:
        """Return the text with all secrets masked."""
        return self._redactor.redact(text)

    async def _wait_until_ready(self, start_timeout: float, heartbeat_timeout: float) -> None:
        loop = asyncio.get_running_loop()
        assert self._process.stderr is not None
        errors = loop.create_task(self._stderr.read(self._process.stderr))
        reads = loop.create_task(self._read_stdout(errors))
        self._tasks += [errors, reads]
        ready = loop.create_task(self._ready.wait())
        try:
            # A plugin that fails to import exits instead of sending a heartbeat.
            await asyncio.wait(
                {ready, reads}, timeout=start_timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ready.cancel()
        if self.ended:
            raise self._start_error(self._crash().problem)
        if not self._ready.is_set():
            raise self._start_error(f"no heartbeat within {start_timeout:g} s")
        self._tasks.append(loop.create_task(self._watch(heartbeat_timeout)))

    def _start_error(self, problem: str) -> PluginStartError:
        line = self._stderr.last_line
        last = "" if line is None else f"; last line of stderr: {line}"
        return PluginStartError(
            plugin=self.package.id, problem=problem + last, stderr=str(self._stderr)
        )

    async def _read_stdout(self, errors: asyncio.Task[None]) -> None:
        """Read stdout to the end, then end the process group and fail open sessions."""
        assert self._process.stdout is not None
        lines = LineReader()
        while data := await self._process.stdout.read(_READ_BYTES):
            self._last_output_at = asyncio.get_running_loop().time()
            for item in lines.feed(data):
                self._take(item)
        # Stdout ends shortly before the process; waiting gives the true exit status, not ours.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), EXIT_TIMEOUT)
        await self._end()
        await asyncio.wait({errors}, timeout=CLOSE_TIMEOUT)  # a grandchild may hold stderr open
        self._fail_sessions()

    def _log_output(self, text: str) -> None:
        if log.debugs:
            shown = self.redact(text)[:MAX_WIDTH]
            log.debug("plugin output", plugin=self.package.id, text=shown)

    def _take(self, item: Message | Noise | OversizedMessage) -> None:
        if isinstance(item, OversizedMessage):
            self._take_oversized(item)
        elif isinstance(item, Noise):
            self._log_output(item)
        else:
            self._take_message(item)

    def _take_message(self, message: Message) -> None:
        session_id, data = message.get("session_id"), message.get("data")
        content = cast(Message, data) if isinstance(data, dict) else {}
        match message.get("event"):
            case "heartbeat":
                self._ready.set()
            case "log":
                self._log_output(f"{content.get('level')}: {content.get('message')}")
            case "session":
                self._take_session(str(session_id), content)
            case "error":
                log.warning("plugin could not parse a message", plugin=self.package.id)
                self._log_output(str(content.get("error")))
            case _:  # such as the manifest, the first message of every plugin
                pass

    def _take_session(self, session_id: str, data: Message) -> None:
        session = self._sessions.get(session_id)
        if session is not None:
            session.take(data)
        elif data.get("type") == "invoke":  # of a closed session: the plugin waits for an answer
            answer = refusal(session_id, data.get("data"))
            if answer is not None:
                self.write(answer)
        elif data.get("type") == "end":
            self._stray.discard(session_id)

    def _take_oversized(self, item: OversizedMessage) -> None:
        session = self._sessions.get(item.session_id or "")
        log.warning("message too long", plugin=self.package.id)
        if session is not None:
            error = {"error_type": "ProtocolError", "message": "a message is too long"}
            session.take({"type": "error", "data": error})

    async def _watch(self, heartbeat_timeout: float) -> None:
        """Kill the process after `heartbeat_timeout` seconds without output."""
        loop = asyncio.get_running_loop()
        while True:
            left = self._last_output_at + heartbeat_timeout - loop.time()
            if left <= 0:
                break
            await asyncio.sleep(left)
        self._reason = f"no output for {heartbeat_timeout:g} s"
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process group and wait for the exit status of the process."""
        # The group: plugins start processes of their own, which would hold the pipes open.
        self._signal(number)
        try:
            await asyncio.wait_for(self._process.wait(), CLOSE_TIMEOUT)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self._process.wait()
        self._signal(signal.SIGKILL)  # its children may have survived SIGTERM

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _fail_sessions(self) -> None:
        # First the error, so that `invoke` refuses new sessions, then the open ones.
        self._error = self._crash()
        self._stray.clear()
        self._gone.set()
        for session in self._sessions.values():
            session.fail(self._crash())

    def _crash(self) -> PluginCrashedError:
        problem = self._reason or _ending(self._process.returncode)
        return PluginCrashedError(plugin=self.package.id, problem=problem, stderr=str(self._stderr))


def _variables(own: Mapping[str, str]) -> dict[str, str]:
    return {
        **plugin_variables(os.environ),
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        **own,
        "INSTALL_METHOD": "local",  # stronger than the .env file of the plugin
    }


def _ending(status: int | None) -> str:
    if status is None:
        return "stdout was closed"
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
