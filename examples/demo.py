"""Runs the Dify plugin beside this file: plugin -> Redis -> worker -> local model, and back.

The plugin is a process of its own, run as `invokeq plugin run` runs it. Then comes a tour of the
other calls: speech, embeddings, ranking, moderation, summary.
Redis is the one that INVOKEQ_REDIS_URL names, else an embedded Valkey. The worker is a process of
its own. All of them end with this process, however it ends; on Linux the kernel sees to that.
"""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Final, TypeAlias, TypeVar

import redis
from rich.console import Console
from rich.text import Text
from rq import Queue

from invokeq import InvocationStatus, InvokeqError, LiveWorker, Session
from invokeq.dify.platform import Catalog, PlatformOptions, Plugin, PluginPlatform, load_plugin
from invokeq.dify.plugins import PluginPackage, prepare_environment
from invokeq.entities import LLMUsage, ModelType
from invokeq.errors import InternalError, NoWorkerError
from invokeq.protocol import events
from invokeq.protocol.codec import OrjsonSerializer
from invokeq_worker.process.embedded_server import EmbeddedValkey

# isort: split
from demo_tour import tour

HERE: Final = Path(__file__).resolve().parent
PLUGIN: Final = HERE / "dify_tool"
PLUGIN_ID: Final = "invokeq/ask_model"

START_SECONDS: Final = 60.0
"""For the worker to load its models, which takes three on an idle machine."""

STOP_SECONDS: Final = 5.0
"""For the worker to sign off, with nothing left to run."""

BOOKS_SECONDS: Final = 5.0
"""For RQ's books to be closed after the last event, which takes milliseconds."""

POLL_SECONDS: Final = 0.05

T = TypeVar("T")
Server: TypeAlias = "redis.Redis"

console: Final = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Worker:
    """The worker process, and the file with what it printed."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: IO[bytes]

    def check(self) -> None:
        """Raise its last words, if it has ended."""
        if self.process.poll() is not None:
            self.log.seek(0)
            lines = self.log.read().decode(errors="replace").splitlines()
            raise InternalError(detail=f"the worker ended: {lines[-1] if lines else 'silently'}")


@dataclass(frozen=True, slots=True)
class Trip:
    """What one invocation left in Redis; sizes are in bytes."""

    status: InvocationStatus
    usage: LLMUsage
    job_size: int
    events: int
    entries: int
    stream_size: int


def main() -> int:
    """Run both tools and the tour; gives the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            run(stack)
    except InvokeqError as error:
        console.print(Text(f"error: {error}", "bold red"))
        return 1
    except KeyboardInterrupt:
        console.print("\nstopped", style="bold red")
        return 130
    console.print(f"\nall calls work; {time.monotonic() - began:.1f} s in all", style="bold green")
    return 0


def run(stack: ExitStack) -> None:
    """Start what is needed, ask the model in both ways, then make all other calls."""
    url = os.environ.get("INVOKEQ_REDIS_URL") or start_server(stack)
    worker = stack.enter_context(running_worker(url))
    session = stack.enter_context(Session(PLUGIN_ID, redis=url))
    server: Server = stack.enter_context(redis.Redis.from_url(url))
    model = await_model(session, worker)
    with running_plugin(load_plugin(PLUGIN), url) as plugin:
        question = {"query": "Why is the sky blue?"}
        ask(session, server, plugin, "llm_fixed", "a config built by hand", question)
        picked = {"model": model, "model.max_tokens": 96, "model.temperature": 0.0}
        question = {"prompt": "Write two lines about the sea.", **picked}
        ask(session, server, plugin, "llm", "the value of a model-selector", question)
    tour(session, console)


def start_server(stack: ExitStack) -> str:
    """Start an embedded Valkey that ends with the stack; gives its address."""
    server = stack.enter_context(EmbeddedValkey.start())
    console.print(f"valkey   process {server.pid}, {server.url}")
    return server.url


@contextmanager
def running_worker(url: str) -> Generator[Worker, None, None]:
    """Run a worker process, which the kernel kills should this one be killed."""
    name = f"demo.{os.getpid()}.{secrets.token_hex(2)}"
    command = [sys.executable, "-m", "invokeq_worker", "--pool", "models", "--name", name]
    command += ["--config", str(HERE / "demo.toml")]
    command += ["--parent", str(os.getpid()), "--death-signal", str(int(signal.SIGKILL))]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, "INVOKEQ_REDIS_URL": url},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, who end the worker in turn
        )
        try:
            yield Worker(name, process, log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True, slots=True)
class RunningPlugin:
    """The plugin's process with its host, and the loop that both live on."""

    host: PluginPlatform
    runner: asyncio.Runner


@contextmanager
def running_plugin(plugin: Plugin, url: str) -> Generator[RunningPlugin, None, None]:
    """Run the plugin as a process of its own, as `invokeq plugin run` does."""
    with asyncio.Runner() as runner:
        host = PluginPlatform(Catalog(plugin), PlatformOptions(python_of=python_of, redis=url))
        runner.run(host.__aenter__())
        try:
            process = runner.run(host.start(plugin))
            console.print(f"plugin   process {process.pid}, {plugin.id} from {PLUGIN.name}")
            yield RunningPlugin(host, runner)
        finally:
            runner.run(host.__aexit__(None, None, None))


async def python_of(package: PluginPackage) -> Path:
    """Give the Python for the plugin: ours if it has Dify's SDK, else one of a venv of its own."""
    try:
        version = metadata.version("dify_plugin")
    except metadata.PackageNotFoundError:
        with console.status(f"a Python environment is made for {package.id} ..."):
            return await prepare_environment(package)
    console.print(f"python   {sys.executable}, which has dify_plugin {version} installed")
    return Path(sys.executable)


def await_model(session: Session, worker: Worker) -> str:
    """Wait until our worker is in the directory; gives the model that it serves."""
    began = time.monotonic()

    def served() -> str | None:
        worker.check()
        for live in session.workers():
            if live.entry.name == worker.name:
                return chat_model(live)
        return None

    with console.status("a worker starts and loads the models ..."):
        model = wait_for(served, START_SECONDS)
    if model is None:
        problem = f"ours was not ready within {START_SECONDS:g} s"
        raise NoWorkerError(provider="local", model_type="llm", problem=problem)
    seconds = time.monotonic() - began
    console.print(f"worker   process {worker.process.pid}, serves {model} after {seconds:.1f} s")
    return model


def chat_model(worker: LiveWorker) -> str | None:
    """Give the name of the large language model among what a worker serves."""
    models = worker.providers["local"].models
    names = (f"local/{model.model}" for model in models if model.model_type is ModelType.LLM)
    return next(names, None)


def ask(
    session: Session,
    server: Server,
    plugin: RunningPlugin,
    tool: str,
    way: str,
    parameters: dict[str, Any],
) -> None:
    """Run a tool of the plugin, and tell what it said, cost and sent."""
    console.print(f"\ntool {tool}, {way}", style="bold")
    console.print(Text(next(iter(parameters.values())), "cyan"))
    known = finished(server)
    first = plugin.runner.run(show(plugin.host, tool, parameters))
    request_id = wait_for(lambda: next(iter(finished(server) - known), None), BOOKS_SECONDS)
    if request_id is None:
        raise InternalError(detail=f"RQ has no finished job in a lane of {PLUGIN_ID}")
    report(read_trip(session, server, request_id), first)


async def show(host: PluginPlatform, tool: str, parameters: dict[str, Any]) -> float:
    """Print what a tool says while it says it; gives the seconds until the first text."""
    began, first = time.monotonic(), None
    async with aclosing(host.run_tool(tool, parameters)) as messages:
        async for message in messages:
            first = first or time.monotonic() - began
            if message["type"] == "text":
                console.print(Text(message["message"]["text"]), end="")  # flushes
    console.print()
    return first or 0.0


def finished(server: Server) -> set[str]:
    """Return the request ids in RQ's registries of finished jobs, of all lanes of the plugin."""
    lanes = Queue.all(server, serializer=OrjsonSerializer)
    ours = [lane for lane in lanes if lane.name.endswith(f":{PLUGIN_ID}")]
    return {job for lane in ours for job in lane.finished_job_registry.get_job_ids(cleanup=False)}


def read_trip(session: Session, server: Server, request_id: str) -> Trip:
    """Read what an ended invocation has left in Redis."""
    entries: Any = server.xrange(f"invokeq:{{{request_id}}}:events")
    job_size: Any = server.hstrlen(f"rq:job:{request_id}", "data")
    seen = [event for entry in entries for event in events.unpack(*entry)]
    return Trip(
        status=session.attach(request_id).status(),
        usage=LLMUsage.model_validate(seen[-1].data["usage"]),
        job_size=job_size,
        events=len(seen),
        entries=len(entries),
        stream_size=sum(len(value) for _, fields in entries for value in fields.values()),
    )


def report(trip: Trip, first: float) -> None:
    """Print the usage, and one line on what travelled where."""
    usage, status = trip.usage, trip.status
    console.print(
        f"usage    {usage.prompt_tokens} + {usage.completion_tokens} = {usage.total_tokens} tokens,"
        f" {usage.total_price} {usage.currency}, {usage.latency:.2f} s in the model;"
        f" first text after {first:.2f} s",
        style="dim",
    )
    console.print(
        f"path     request {status.request_id}: {trip.job_size} bytes into lane {status.lane},"
        f" attempt {status.attempt} on {status.worker}, {trip.events} events in {trip.entries}"
        f" stream entries back, {trip.stream_size} bytes",
        style="dim",
    )


def wait_for(look: Callable[[], T | None], seconds: float) -> T | None:
    """Look again and again until there is something, or the time is over."""
    give_up_at = time.monotonic() + seconds
    while (found := look()) is None and time.monotonic() < give_up_at:
        time.sleep(POLL_SECONDS)
    return found


if __name__ == "__main__":
    sys.exit(main())
