"""Count the bytes of embeddings and speech, beside the encodings of Dify's own transport.

`python -m bench.bytes` prints the table of docs/dify.md. A real worker with the scripted vendor
answers over a real server. The counters of the server are read before and after: `written` counts
all bytes to the server (with the request and the worker's heartbeats), `read` all bytes from the
server, `stored` the memory of the result stream. Byte counts do not depend on the machine.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import redis
from rich.console import Console
from rich.table import Table

from invokeq import Session
from invokeq.invocation import Invocation
from invokeq.protocol.redis import keys
from invokeq_worker.process.embedded_server import EmbeddedValkey

TEXTS: Final = 1000
DIMENSIONS: Final = 1536
SEGMENTS: Final = 10
FRAMES: Final = 230
"""MP3 frames in a segment, each of 26.12 ms and 104 bytes: ten segments are one minute."""

_READY: Final = 20.0
_CONFIG: Final = """
[redis]
url = "{url}"
[pools.main]
queues = ["text-embedding", "tts"]
[providers.scripted]
[providers.scripted.embedding]
dimensions = {dimensions}
[providers.scripted.tts]
frames = {frames}
"""


class Traffic(NamedTuple):
    """The bytes of one call: of the answer itself, and of the traffic through the server."""

    answer: int
    written: int
    read: int
    stored: int
    entries: int
    largest: int


@contextmanager
def serving(url: str, directory: Path) -> Generator[Session]:
    """Run a worker; yield a session when the worker has its lease."""
    config = directory / "bytes.toml"
    config.write_text(_CONFIG.format(url=url, dimensions=DIMENSIONS, frames=FRAMES))
    command = [sys.executable, "-m", "invokeq_worker", "--pool", "main", "--config", str(config)]
    with (directory / "bytes.log").open("wb") as log:
        worker = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        give_up_at = time.monotonic() + _READY
        with redis.Redis.from_url(url, protocol=2) as client:
            while not client.zcard(keys.LEASES):
                if worker.poll() is not None or time.monotonic() > give_up_at:
                    raise RuntimeError((directory / "bytes.log").read_text())
                time.sleep(0.05)
        with Session("bytes", redis=url) as session:
            yield session
    finally:
        worker.kill()
        worker.wait()


def embeddings(url: str, session: Session) -> Traffic:
    """Measure one embedding call."""
    texts = [f"text {n}" for n in range(TEXTS)]
    config = {"provider": "scripted", "model": "hash"}
    submit = session.model.text_embedding.submit
    return _measured(url, lambda: submit(config, texts), TEXTS * DIMENSIONS * 4)


def speech(url: str, session: Session) -> Traffic:
    """Measure one minute of speech."""
    sentence = "This sentence has about as many words as a segment of speech may have, which is to"
    text = " ".join(
        f"{sentence} say that {n} of them make up a good minute of it." for n in range(10)
    )
    config = {"provider": "scripted", "model": "silence", "voice": "ann"}
    return _measured(url, lambda: session.model.tts.submit(config, text))


def _measured(
    url: str, submit: Callable[[], Invocation[Any, Any]], answer: int | None = None
) -> Traffic:
    with redis.Redis.from_url(url, protocol=2) as client:
        before = cast(dict[str, int], client.info("stats"))
        invocation = submit()
        result = invocation.result()
        after = cast(dict[str, int], client.info("stats"))
        stream = keys.events(invocation.request_id)
        stored = cast(int, client.memory_usage(stream, samples=0))
        entries = cast(list[tuple[bytes, dict[bytes, bytes]]], client.xrange(stream))
    sizes = [sum(map(len, fields.values())) for _, fields in entries]
    return Traffic(
        answer=len(result) if answer is None else answer,
        written=after["total_net_input_bytes"] - before["total_net_input_bytes"],
        read=after["total_net_output_bytes"] - before["total_net_output_bytes"],
        stored=stored,
        entries=len(entries),
        largest=max(sizes),
    )


def json_of_vectors() -> dict[str, int]:
    """Return the bytes of the same number of vectors as JSON, written in two ways.

    The vectors are normally distributed and of unit length, as those of real models.
    """
    numbers = random.Random(1)
    rows: list[list[float]] = []
    for _ in range(TEXTS):
        row = [numbers.gauss() for _ in range(DIMENSIONS)]
        length = sum(number * number for number in row) ** 0.5
        rows.append(array("f", (number / length for number in row)).tolist())
    short = [[float(f"{number:.9g}") for number in row] for row in rows]
    return {"as vendors write them": len(json.dumps(short)), "as doubles": len(json.dumps(rows))}


def main() -> None:
    """Print the table."""
    table = Table("what", "bytes", "of the answer", box=None)

    def add(what: str, size: int, answer: int) -> None:
        table.add_row(what, f"{size:,}", f"{size / answer:.3f}")

    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedValkey.start() as server,
        serving(server.url, Path(folder)) as session,
    ):
        vectors, audio = embeddings(server.url, session), speech(server.url, session)
    for name, traffic in (("vectors", vectors), ("speech", audio)):
        add(f"{name}: the answer itself", traffic.answer, traffic.answer)
        for field in ("written", "read", "stored", "largest"):
            add(f"{name}: {field}", getattr(traffic, field), traffic.answer)
        table.add_row(f"{name}: stream entries", str(traffic.entries), "")
    for how, size in json_of_vectors().items():
        add(f"vectors: as JSON, {how}", size, vectors.answer)
    add("speech: as hex digits", 2 * audio.answer, audio.answer)
    Console().print(table)


if __name__ == "__main__":
    main()
