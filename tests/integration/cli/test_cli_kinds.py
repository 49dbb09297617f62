"""`invokeq invoke` for every kind of call, against a real worker with the scripted vendor."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from invokeq.protocol.audio import MP3, recognise
from tests.integration.cli.test_cli import BOUND, environment, ok, only_request, run, vendor_saw
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.servers.server import Server
from tests.support.waiting import eventually

QUEUES = ("llm", "text-embedding", "rerank", "tts", "speech2text", "moderation")
SENTENCES = "One fish. " * 40
"""More than the scripted voice says at once."""


@pytest.fixture(scope="module")
def worker(
    redis_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    """A worker for all kinds of call; the voice of `halting` says one segment and no more."""
    redis_server.erase()
    directory = tmp_path_factory.mktemp("kinds")
    tables = {
        "scripted": {"type": "scripted"},
        "halting": {"type": "scripted", "journal_file": str(directory / "w1.journal")},
        "halting.tts": {"hang_at": 1},
    }
    with running_worker(
        redis_server.url,
        directory,
        queues=QUEUES,
        providers=tables,
        summary_model="scripted/echo",
    ) as process:
        yield process


@pytest.fixture
def url(redis_server: Server, worker: WorkerProcess) -> str:
    return redis_server.url


def test_texts_become_vectors(url: str, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("one two\nthree\n")
    words = ("invoke", "embed", "-m", "scripted/hash", "-f", str(lines))
    done = run(url, *words)
    assert (done.returncode, done.stdout) == (0, "2 vectors of 8 dimensions\n")
    assert re.match(
        r"tokens: 3; price: 0\.0000003 USD; total: \d+\.\d{3} s; worker: w1", done.stderr
    )
    result = json.loads(ok(url, *words, "--json"))
    assert [len(row) for row in result["embeddings"]] == [8, 8]
    assert result["usage"]["tokens"] == 3
    document = json.loads(ok(url, *words, "--json", "--input-type", "document"))
    assert document["embeddings"] != result["embeddings"]


def test_documents_are_ranked(url: str) -> None:
    words = ("invoke", "rerank", "-m", "scripted/overlap", "a red fish")
    shown = ok(url, *words, stdin="rain\na red cat\na red fish\n").splitlines()
    texts = [line.split(maxsplit=2)[2].strip() for line in shown[1:]]
    assert texts == ["a red fish", "a red cat", "rain"]
    best = json.loads(ok(url, *words, "rain", "one fish", "--top-n", "1", "--json"))
    assert [(doc["index"], doc["text"]) for doc in best["docs"]] == [(1, "one fish")]


def test_speech_is_piped_from_one_command_into_another(url: str, tmp_path: Path) -> None:
    invokeq = f"{sys.executable} -m invokeq.cli invoke"
    spoken = tmp_path / "spoken"
    spoken.write_text(SENTENCES)
    script = (
        f"{invokeq} tts -m scripted/silence < {spoken} | {invokeq} stt -m scripted/tags 2>/dev/null"
    )
    done = subprocess.run(
        script,
        shell=True,
        env=environment(url),
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=True,
    )
    assert "".join(done.stdout.split()) == "".join(SENTENCES.split())
    assert re.match(
        r"audio: \d+ bytes of audio/mpeg; segments: [2-9];"
        r" characters: 400; price: 0\.006 USD; first",
        done.stderr,
    )


def test_speech_is_written_and_read_as_files(url: str, tmp_path: Path) -> None:
    target = tmp_path / "hello.mp3"
    words = ("invoke", "tts", "-m", "scripted/silence", "-v", "bob", "-o", str(target), "--json")
    told = json.loads(ok(url, *words, "Hello."))
    assert (told["mime_type"], told["segments"], told["bytes"]) == (
        "audio/mpeg",
        1,
        target.stat().st_size,
    )
    assert recognise(target.read_bytes()) == MP3
    heard = ok(url, "invoke", "stt", "-m", "scripted/tags", str(target), "--json")
    assert json.loads(heard) == {"result": "Hello."}


def test_a_voice_that_nobody_has_is_an_error(url: str) -> None:
    done = run(url, "invoke", "tts", "-m", "scripted/silence", "-v", "eve", "Hello.")
    assert (done.returncode, done.stdout) == (1, "")
    assert "ann" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_verdict_is_a_status_too(url: str) -> None:
    words = ("invoke", "moderate", "-m", "scripted/words")
    clean = run(url, *words, "hello")
    assert (clean.returncode, clean.stdout) == (0, "clean\n")
    sensitive = run(url, *words, stdin="we attack at dawn\n")
    assert (sensitive.returncode, sensitive.stdout) == (3, "sensitive\n")


def test_a_long_text_is_summarised(url: str, tmp_path: Path) -> None:
    story = tmp_path / "story"
    story.write_text("Once upon a time. " * 100)
    words = ("invoke", "summary", "-f", str(story), "--instruction", "Be brief.")
    done = run(url, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "worker: w1" in done.stderr


def test_a_schema_makes_an_object(url: str) -> None:
    schema = json.dumps(
        {"type": "object", "properties": {"name": {"type": "string"}, "big": {"type": "boolean"}}}
    )
    words = ("invoke", "llm", "-m", "scripted/structured", "A city", "--schema", schema)
    assert json.loads(ok(url, *words)) == {"name": "text", "big": True}
    whole = json.loads(ok(url, *words, "--no-stream", "--json"))
    assert whole["structured_output"] == {"name": "text", "big": True}


def test_ctrl_c_leaves_the_speech_that_there_is(
    url: str, worker: WorkerProcess, tmp_path: Path
) -> None:
    target = tmp_path / "speech.mp3"
    words = ["invoke", "tts", "-m", "halting/silence", "-o", str(target), SENTENCES]
    process = subprocess.Popen(
        [sys.executable, "-m", "invokeq.cli", *words],
        env=environment(url),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually("the first segment is written", lambda: target.exists() and target.stat().st_size)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=BOUND)
    request_id = only_request(worker)
    assert (process.returncode, err) == (130, f"cancelled: request {request_id}\n")
    assert recognise(target.read_bytes()) == MP3
    vendor_saw(worker, request_id, "closed:1")


def test_on_a_terminal_a_bar_shows_how_much_there_is(url: str, tmp_path: Path) -> None:
    master, slave = os.openpty()
    words = ["invoke", "tts", "-m", "scripted/silence", SENTENCES, "-o", str(tmp_path / "a.mp3")]
    plain = {**environment(url), "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-m", "invokeq.cli", *words], env=plain, stdin=slave, stderr=slave
    )
    os.close(slave)
    shown = read_all(master)
    assert process.wait(BOUND) == 0
    assert re.search(r"[1-9] segments", shown)
    assert "kB" in shown
    assert re.search(r"audio: \d+ bytes of audio/mpeg; segments: [2-9]; .*request: ", shown)


def read_all(terminal: int) -> str:
    """Return the terminal output of a process, up to the close of the terminal."""
    shown = b""
    with suppress(OSError):  # how Linux says that nobody holds the other end any more
        while part := os.read(terminal, 65536):
            shown += part
    os.close(terminal)
    return shown.decode()
