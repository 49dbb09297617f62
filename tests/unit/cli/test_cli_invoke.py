"""Every `invoke` command and `attach`, in one process, with the fake session instead of Redis."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from invokeq.cli.root import app, run
from invokeq.errors import ProviderUnavailableError
from invokeq.protocol.entities import RerankResult, TextEmbeddingResult
from invokeq.protocol.requests import LLMStructuredOutputRequest, RerankRequest
from invokeq.testing import FakeSession

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "
DOWN = ProviderUnavailableError(provider="x", model="m", detail="HTTP 502")
LONG = "A long story. " * 100


class Stdin:
    """Stdin with the given bytes, or a silent terminal."""

    def __init__(self, data: bytes | None) -> None:
        self.buffer = io.BytesIO(data or b"")
        self._terminal = data is None

    def isatty(self) -> bool:
        return self._terminal


class Stdout(io.TextIOWrapper):
    """Stdout that keeps the bytes."""

    def __init__(self, *, terminal: bool = False) -> None:
        self.kept = io.BytesIO()
        self._terminal = terminal
        super().__init__(self.kept, encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return self._terminal


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    status: int
    out: bytes
    err: str


Command = Callable[..., Done]


@pytest.fixture
def fake() -> FakeSession:
    return FakeSession("cli")


@pytest.fixture
def command(
    fake: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run one command line against the fake session."""

    def invoked(*words: str, stdin: bytes | None = None, terminal: bool = False) -> Done:
        stdout = Stdout(terminal=terminal)
        with monkeypatch.context() as patch:
            patch.setattr("invokeq.session.Session", lambda plugin, redis=None: fake)  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]
            patch.setattr(sys, "stdin", Stdin(stdin))
            patch.setattr(sys, "stdout", stdout)
            try:
                status = run(app, words)
            except SystemExit as ended:
                status = ended.code if isinstance(ended.code, int) else 1
        return Done(status, stdout.kept.getvalue(), capsys.readouterr().err)

    return invoked


def invoke(command: Command, kind: str, *words: str, **how: Any) -> Done:
    """Run a command; fail on an error exit."""
    done = command("invoke", kind, *words, **how)
    assert done.status == 0, done.err
    return done


def test_embed_tells_how_many_and_how_long(fake: FakeSession, command: Command) -> None:
    fake.model.text_embedding.answers([[1.0, 2.0, 3.0]] * 2, [[0.5]])
    done = invoke(command, "embed", "-m", "x/m", "a b", "c", "--input-type", "document")
    assert done.out == b"2 vectors of 3 dimensions\n"
    assert done.err.startswith("tokens: 3; total: ")
    assert f"worker: fake; request: {fake.request_ids[0]}\n" in done.err
    assert fake.model.text_embedding.calls[0].input_type.value == "document"
    assert invoke(command, "embed", "-m", "x/m", "a").out == b"1 vector of 1 dimension\n"


def test_embed_prints_vectors_as_json_and_reads_lines(
    fake: FakeSession, command: Command, tmp_path: Path
) -> None:
    lines = tmp_path / "lines"
    lines.write_text("one\n\ntwo\n")
    fake.model.text_embedding.answers([[0.1], [1e-45]], [[1.0]])
    done = invoke(command, "embed", "-m", "x/m", "-f", str(lines), "--json")
    result = TextEmbeddingResult.model_validate_json(done.out)
    assert (result.model, result.embeddings) == ("m", [[0.1], [1e-45]])
    assert done.out.count(b"\n") == 1
    invoke(command, "embed", "-m", "x/m", stdin=b"three\n")
    assert [getattr(call, "texts", None) for call in fake.calls] == [["one", "two"], ["three"]]


def test_rerank_shows_the_best_first(fake: FakeSession, command: Command) -> None:
    fake.model.rerank.answers(lambda _: [0.25, 0.75])
    done = invoke(command, "rerank", "-m", "x/m", "pets", "a\x1b[2J cat", "a dog")
    rows = [line.split() for line in done.out.decode().splitlines()]
    assert rows == [
        ["score", "index", "text"],
        ["0.7500", "1", "a", "dog"],
        ["0.2500", "0", "a[2J", "cat"],
    ]
    assert done.err.startswith("documents: 2; total: ")


def test_rerank_has_bounds_and_json(fake: FakeSession, command: Command) -> None:
    fake.model.rerank.answers(lambda _: [0.25, 0.75, 0.5])
    words = ("rerank", "-m", "x/m", "pets", "--json")
    result = RerankResult.model_validate_json(
        invoke(command, *words, "--top-n", "1", stdin=b"a\nb\nc\n").out
    )
    assert [(doc.index, doc.text, doc.score) for doc in result.docs] == [(1, "b", 0.75)]
    bounded = invoke(command, *words, "--score-threshold", "0.5", "-f", "-", stdin=b"a\nb\nc\n")
    assert [doc["index"] for doc in json.loads(bounded.out)["docs"]] == [1, 2]
    first, second = fake.calls
    assert isinstance(first, RerankRequest)
    assert isinstance(second, RerankRequest)
    assert (first.query, first.top_n, first.score_threshold) == ("pets", 1, None)
    assert (second.top_n, second.score_threshold) == (None, 0.5)
    none = command("invoke", "rerank", "-m", "x/m", "q", "a", "--top-n", "0")
    assert (none.status, none.err) == (
        1,
        "error: model_config.top_n: must be at least 1, or None\n",
    )


def test_speech_goes_to_a_file(fake: FakeSession, command: Command, tmp_path: Path) -> None:
    fake.model.tts.answers(lambda _: [WAV, b"two"])
    target = tmp_path / "speech.wav"
    words = ("tts", "-m", "x/m", "Hello. World.", "--voice", "anna", "-o", str(target))
    done = invoke(command, *words)
    assert (done.out, target.read_bytes()) == (b"", WAV + b"two")
    assert done.err.startswith("audio: 19 bytes of None; segments: 2; first segment: ")
    told = json.loads(invoke(command, *words, "--json").out)
    assert told == {
        "output": str(target),
        "mime_type": None,
        "segments": 2,
        "bytes": 19,
        "request_id": fake.request_ids[1],
    }
    assert [(call.voice, call.content_text) for call in fake.model.tts.calls] == [
        ("anna", "Hello. World.")
    ] * 2


def test_speech_goes_down_a_pipe(fake: FakeSession, command: Command) -> None:
    fake.model.tts.answers(b"audio", b"more")
    assert invoke(command, "tts", "-m", "x/m", stdin=b"Hello\n").out == b"audio"
    assert invoke(command, "tts", "-m", "x/m", "-o", "-", "Hello").out == b"more"
    assert fake.model.tts.calls[0].voice == ""


def test_a_file_that_is_not_what_its_name_says_is_noted(
    fake: FakeSession, command: Command, tmp_path: Path
) -> None:
    fake.model.tts.answers(lambda _: WAV)
    target = tmp_path / "speech.mp3"
    done = invoke(command, "tts", "-m", "x/m", "Hello", "-o", str(target))
    assert f"note: {target} is audio/wav, for which the suffix is .wav\n" in done.err
    fitting = invoke(command, "tts", "-m", "x/m", "Hello", "-o", str(tmp_path / "speech.wav"))
    assert "note:" not in fitting.err


@pytest.mark.parametrize(
    ("words", "terminal", "line"),
    [
        (("Hello",), True, "error: --output: is missing: name a file, or pipe the audio on\n"),
        (
            ("Hello", "--json"),
            False,
            "error: --json: needs --output FILE, since stdout carries the audio\n",
        ),
    ],
)
def test_audio_is_not_written_where_it_does_not_belong(
    fake: FakeSession, command: Command, words: tuple[str, ...], terminal: bool, line: str
) -> None:
    done = command("invoke", "tts", "-m", "x/m", *words, terminal=terminal)
    assert (done.status, done.err, fake.calls) == (1, line, [])


def test_what_was_said_before_a_fault_is_kept(
    fake: FakeSession, command: Command, tmp_path: Path
) -> None:
    fake.model.tts.answers([b"one", DOWN], DOWN)
    target = tmp_path / "speech.mp3"
    done = command("invoke", "tts", "-m", "x/m", "Hello", "-o", str(target))
    assert (done.status, target.read_bytes()) == (1, b"one")
    assert done.err.startswith("error: x failed for m: HTTP 502")
    assert done.err.count("\n") == 1
    untouched = tmp_path / "other.mp3"
    command("invoke", "tts", "-m", "x/m", "Hello", "-o", str(untouched))
    assert not untouched.exists()


def test_audio_is_read_from_a_file_or_stdin(
    fake: FakeSession, command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "memo"
    file.write_bytes(WAV)
    fake.model.speech2text.answers(lambda _: "good morning")
    assert invoke(command, "stt", "-m", "x/m", str(file)).out == b"good morning\n"
    piped = invoke(command, "stt", "-m", "x/m", "--json", stdin=WAV + b"x")
    assert json.loads(piped.out) == {"result": "good morning"}
    assert fake.model.speech2text.files == [WAV, WAV + b"x"]
    gone = command("invoke", "stt", "-m", "x/m", str(tmp_path / "gone"))
    assert (gone.status, gone.err.count("\n")) == (1, 1)
    assert "No such file" in gone.err
    silent = command("invoke", "stt", "-m", "x/m")
    assert silent.err == "error: FILE: is missing: give one, or pipe it in\n"


def test_a_verdict_is_a_word_and_a_status(fake: FakeSession, command: Command) -> None:
    fake.model.moderation.answers(False, True, True, DOWN)
    words = ("invoke", "moderate", "-m", "x/m", "some text")
    assert [(d.status, d.out) for d in (command(*words), command(*words))] == [
        (0, b"clean\n"),
        (3, b"sensitive\n"),
    ]
    as_json = command(*words, "--json")
    assert (as_json.status, json.loads(as_json.out)) == (3, {"result": True})
    fault = command(*words)
    assert (fault.status, fault.out) == (1, b"")


def test_a_summary_is_made_of_long_texts_only(
    fake: FakeSession, command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "story"
    file.write_text(LONG)
    fake.model.summary.answers(lambda _: "Short.")
    done = invoke(command, "summary", "-f", str(file), "--instruction", "Be brief.")
    assert done.out == b"Short.\n"
    as_json = invoke(command, "summary", "--json", "--min-length", "3", "abc")
    assert json.loads(as_json.out) == {"summary": "Short."}
    asked = fake.model.summary.calls
    assert [(c.text, c.instruction) for c in asked] == [(LONG, "Be brief."), ("abc", "")]
    kept = invoke(command, "summary", stdin=b"abc\n")
    assert (kept.out, kept.err) == (b"abc\n", "unchanged: 4 characters are fewer than 1024\n")
    assert json.loads(invoke(command, "summary", "abc", "--json").out) == {"summary": "abc"}
    assert len(asked) == 2


def test_a_schema_makes_the_answer_an_object_and_nothing_else(
    fake: FakeSession, command: Command, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    fake.model.llm_structured_output.answers(lambda _: {"city": "Oslo", "big": False})
    words = ("llm", "-m", "x/m", "A city", "-p", "seed=7")
    done = invoke(command, *words, "--schema", str(schema))
    assert json.loads(done.out) == {"city": "Oslo", "big": False}
    assert done.out.startswith(b"{\n")
    assert "completion" in done.err
    empty = command("invoke", *words, "--schema", "{}")
    assert (empty.status, empty.err.count("\n")) == (1, 1)
    (call,) = fake.model.llm_structured_output.calls
    assert isinstance(call, LLMStructuredOutputRequest)
    assert (call.structured_output_schema, call.stream) == ({"type": "object"}, True)


def test_with_a_schema_json_is_one_chunk_a_line_or_the_whole_result(
    fake: FakeSession, command: Command
) -> None:
    fake.model.llm_structured_output.answers(lambda _: {"a": 1})
    words = ("llm", "-m", "x/m", "A city", "--schema", '{"type": "object"}', "--json")
    chunks = [json.loads(line) for line in invoke(command, *words).out.splitlines()]
    assert [chunk["structured_output"] for chunk in chunks][-1] == {"a": 1}
    assert len(chunks) > 1
    whole = json.loads(invoke(command, *words, "--no-stream").out)
    assert (whole["structured_output"], whole["message"]["content"]) == ({"a": 1}, '{"a": 1}')


DETACHED: dict[str, tuple[tuple[str, ...], Any]] = {
    "embed": (("-m", "x/m", "a"), [[1.0]]),
    "llm": (("-m", "x/m", "Hi"), "Hello"),
    "moderate": (("-m", "x/m", "a"), True),
    "rerank": (("-m", "x/m", "q", "a"), [0.5]),
    "stt": (("-m", "x/m", "-"), "said"),
    "summary": (("--min-length", "1", "a"), "short"),
    "tts": (("-m", "x/m", "a"), b"audio"),
}
ATTRIBUTES = {
    "embed": "text_embedding",
    "moderate": "moderation",
    "stt": "speech2text",
}
SHOWN = {
    "embed": b"1 vector of 1 dimension\n",
    "llm": b"Hello\n",
    "moderate": b"sensitive\n",
    "rerank": b" score  index\n0.5000      0\n",
    "stt": b"said\n",
    "summary": b"short\n",
    "tts": b"audio",
}


@pytest.mark.parametrize("kind", DETACHED)
def test_what_is_detached_is_read_by_attach(
    fake: FakeSession, command: Command, kind: str, tmp_path: Path
) -> None:
    words, answer = DETACHED[kind]
    getattr(fake.model, ATTRIBUTES.get(kind, kind)).answers(answer)
    own = "ab" * 16
    extras = ("--detach", "--request-id", own, "--deadline", "9")
    done = invoke(command, kind, *words, *extras, stdin=WAV, terminal=True)
    assert (done.out.decode(), done.err) == (f"{own}\n", "")
    attached = command("attach", own)
    assert (attached.status, attached.out) == (0, SHOWN[kind])
    assert attached.err.endswith(f"worker: fake; request: {own}\n")
    assert "total" not in attached.err
    if kind == "tts":
        target = tmp_path / "a.mp3"
        assert json.loads(command("attach", own, "-o", str(target), "--json").out)["bytes"] == 5
        assert target.read_bytes() == b"audio"
    else:
        assert json.loads(command("attach", own, "--json").out.splitlines()[-1])


@pytest.mark.parametrize("kind", DETACHED)
def test_every_kind_ends_with_one_line_where_it_fails(
    fake: FakeSession, command: Command, kind: str
) -> None:
    getattr(fake.model, ATTRIBUTES.get(kind, kind)).answers(DOWN)
    done = command("invoke", kind, *DETACHED[kind][0], stdin=WAV)
    line = f"error: x failed for m: HTTP 502 [request {fake.request_ids[0]}]\n"
    assert (done.status, done.out, done.err) == (1, b"", line)
