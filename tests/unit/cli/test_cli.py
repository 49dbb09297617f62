"""The parts of the command, without a server."""

import io
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from invokeq.cli.errors import exit_on_error
from invokeq.cli.invoke.inputs import read_text, read_texts
from invokeq.cli.invoke.llm import parse_parameters, prompt_messages
from invokeq.cli.invoke.schema import read_schema
from invokeq.cli.operate.models import parse_type, rows_of
from invokeq.cli.options import split_model
from invokeq.cli.render.meter import Meter, cost_parts
from invokeq.cli.render.text import amount, duration, one_line, printable
from invokeq.cli.root import app, extra_for, run
from invokeq.dify.model_selector import ANY_MODEL
from invokeq.errors import InvalidRequestError, RateLimitedError, StreamExpiredError
from invokeq.operations.directory import LiveWorker
from invokeq.protocol.directory import ProviderEntry, WorkerEntry
from invokeq.protocol.entities import (
    EmbeddingUsage,
    LLMUsage,
    ModelType,
)
from tests.support.paths import DOCS

COMMANDS = (
    *(("invoke", kind) for kind in ("llm", "embed", "rerank", "tts", "stt", "moderate", "summary")),
    *(("attach",), ("status",), ("cancel",), ("models",), ("plugin", "run")),
)


def help_of(*words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="invokeq")
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_help_with_examples(words: tuple[str, ...]) -> None:
    text = help_of(*words)
    assert f"Examples:\n    invokeq {' '.join(words)}" in text
    assert "--redis URL" in text
    assert "INVOKEQ_REDIS_URL" in text


def options_in(text: str) -> set[str]:
    return {word.strip(",.") for word in text.split() if word.startswith("--") and len(word) > 2}


def section_of(heading: str) -> str:
    return (DOCS / "cli.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("words", COMMANDS)
def test_the_reference_names_every_option(words: tuple[str, ...]) -> None:
    section = section_of(f"invokeq {' '.join(words)}")
    assert section
    shared = section_of("Options of every `invoke`") if words[0] == "invoke" else ""
    known = options_in(f"{section} {shared}".replace("`", " ")) | {"--help", "--redis"}
    assert options_in(help_of(*words)) <= known


def test_the_version_is_that_of_the_distribution() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"invokeq {version('invokeq')}\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nope"], "No such command 'nope'"),
        (
            ["invoke", "llm", "hi"],
            "Missing option '--model' / '-m' (see 'invokeq invoke llm --help')",
        ),
        (["status", "--bogus"], "No such option: --bogus (see 'invokeq status --help')"),
        (["cancel"], "Missing argument 'REQUEST_ID...' (see 'invokeq cancel --help')"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(app, words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {line}")
    assert printed.err.count("\n") == 1


def test_an_argument_that_is_not_utf_8_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(app, ["invoke", "llm", "-m", "a/b", "\udcff"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: Argument 5 is not UTF-8 text\n"


def test_a_group_alone_shows_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, ["invoke"]) == 2
    shown = capsys.readouterr().err
    for kind in ("llm", "embed", "rerank", "tts", "stt", "moderate", "summary"):
        assert f"\n  {kind} " in shown


@pytest.mark.parametrize(
    ("absent", "words", "line"),
    [
        ("typer", "", "error: The invokeq command needs typer: pip install 'invokeq[cli]'\n"),
        ("rich", "", "error: The invokeq command needs rich: pip install 'invokeq[cli]'\n"),
        (
            "structlog",
            "worker --pool llm",
            "error: This command needs structlog: pip install 'invokeq[worker]'\n",
        ),
    ],
)
def test_a_missing_package_is_one_line_that_names_the_extra(
    absent: str, words: str, line: str
) -> None:
    script = f"""
import sys
sys.modules[{absent!r}] = None
sys.argv = ["invokeq", *{words.split()}]
from invokeq.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, line)


def test_extras_are_found_by_module() -> None:
    assert extra_for("typer.testing") == "cli"
    assert extra_for("pydantic_settings.sources") == "worker"
    assert extra_for("redis") is None
    assert extra_for("nobody_knows") is None


def test_an_error_becomes_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    error = RateLimitedError(
        provider="p", model="m", detail="slow\n\x1b[31m  down", request_id="ab" * 16
    )
    with pytest.raises(SystemExit) as caught, exit_on_error():
        raise error
    assert caught.value.code == 1
    line = f"error: p limits the rate for m: slow [31m down [request {'ab' * 16}]\n"
    assert capsys.readouterr().err == line


def test_a_request_id_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), exit_on_error():
        raise StreamExpiredError(stream="f" * 32, request_id="f" * 32)
    assert capsys.readouterr().err.count("f" * 32) == 1


def test_ctrl_c_ends_with_130_and_no_word(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, exit_on_error():
        raise KeyboardInterrupt
    assert caught.value.code == 130
    assert capsys.readouterr().err == ""


def test_the_provider_ends_at_the_first_slash() -> None:
    expected = {"provider": "router", "model": "meta/llama-3"}
    assert split_model("router/meta/llama-3") == expected
    for text in ("local", "/m", "local/", ""):
        with pytest.raises(InvalidRequestError, match="PROVIDER/MODEL"):
            split_model(text)


def test_parameters_are_json_where_they_are_json() -> None:
    texts = ["temperature=0.2", "json_mode=true", "user=anna=b", "format=json", 'n="3"', "x="]
    assert parse_parameters(texts) == {
        "temperature": 0.2,
        "json_mode": True,
        "user": "anna=b",
        "format": "json",
        "n": "3",
        "x": "",
    }
    for text in ("temperature", "=1"):
        with pytest.raises(InvalidRequestError, match="KEY=VALUE"):
            parse_parameters([text])


class FakeStdin:
    def __init__(self, data: bytes, terminal: bool = False) -> None:
        self.buffer = io.BytesIO(data)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("argument", "stdin", "problem"),
    [
        (None, FakeStdin(b"", terminal=True), "PROMPT: is missing"),
        (None, FakeStdin(b" \n"), "PROMPT: is empty"),
        ("", FakeStdin(b"unread"), "PROMPT: is empty"),
        ("-", FakeStdin(b"\xff"), "stdin: is not UTF-8"),
    ],
)
def test_a_missing_text_is_an_error(
    argument: str | None, stdin: FakeStdin, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(InvalidRequestError, match=problem):
        read_text("PROMPT", argument)


def test_a_text_comes_from_the_argument_a_file_or_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", FakeStdin("übers Rohr\n".encode()))
    file = tmp_path / "text"
    file.write_text("from a file\n")
    assert read_text("TEXT", "given") == "given"
    assert read_text("TEXT", None, str(file)) == "from a file\n"
    assert read_text("TEXT", None, "-") == "übers Rohr\n"
    with pytest.raises(InvalidRequestError, match="TEXT: is given twice"):
        read_text("TEXT", "given", str(file))
    file.write_bytes(b"\xff")
    with pytest.raises(InvalidRequestError, match=f"{file}: is not UTF-8 text"):
        read_text("TEXT", None, str(file))


def test_texts_are_arguments_or_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"one\r\n\n  two\n \n")
    assert read_texts("DOC", ["a", "b"]) == ["a", "b"]
    assert read_texts("DOC", [], str(file)) == ["one", "  two"]
    monkeypatch.setattr(sys, "stdin", FakeStdin(b"three\nfour"))
    assert read_texts("DOC", ["-"]) == ["three", "four"]
    monkeypatch.setattr(sys, "stdin", FakeStdin(b"\n"))
    with pytest.raises(InvalidRequestError, match="DOC: is empty"):
        read_texts("DOC", None)
    monkeypatch.setattr(sys, "stdin", FakeStdin(b"", terminal=True))
    with pytest.raises(InvalidRequestError, match="DOC: is missing"):
        read_texts("DOC", None)
    with pytest.raises(InvalidRequestError, match="DOC: is given twice"):
        read_texts("DOC", ["a"], str(file))


def test_a_schema_is_a_file_or_given_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text('{"type": "object"}')
    assert read_schema(str(file)) == read_schema(' {"type": "object"}') == {"type": "object"}
    with pytest.raises(InvalidRequestError, match="--schema: is not JSON"):
        read_schema('{"type": ')
    file.write_text("[]")
    with pytest.raises(InvalidRequestError, match=f"--schema {file}: must be a JSON object"):
        read_schema(str(file))


def test_the_system_text_comes_before_the_prompt() -> None:
    both = prompt_messages("Be brief.", "Hi")
    assert [(m.role.value, m.content) for m in both] == [("system", "Be brief."), ("user", "Hi")]
    assert len(prompt_messages(None, "Hi")) == 1


def clock(*readings: float) -> Iterator[float]:
    yield from readings


def test_a_meter_counts_and_times() -> None:
    meter = Meter(clock(10.0, 10.25, 12.5).__next__)
    assert list(meter.watch("ab")) == ["a", "b"]
    assert meter.count == 2
    assert meter.times("chunk") == ["first chunk: 0.250 s", "total: 2.500 s"]
    assert meter.times() == ["total: 2.500 s"]


def test_a_meter_is_done_when_nobody_wants_more() -> None:
    meter = Meter(clock(10.0, 10.25, 10.5).__next__)
    assert next(meter.watch("ab")) == "a"
    assert (meter.count, meter.total) == (1, 0.5)


def test_what_it_cost_is_told_where_it_is_known() -> None:
    usage = LLMUsage.empty_usage().model_copy(
        update={"prompt_tokens": 3, "completion_tokens": 2, "total_price": Decimal("0.0000700")}
    )
    assert cost_parts(usage) == ["tokens: 3 prompt, 2 completion", "price: 0.00007 USD"]
    assert cost_parts(LLMUsage.empty_usage()) == ["tokens: 0 prompt, 0 completion"]
    assert cost_parts(None) == ["tokens: not reported"]
    free = Decimal(0)
    embedding = EmbeddingUsage(
        tokens=7,
        total_tokens=7,
        unit_price=free,
        price_unit=free,
        total_price=Decimal("0.1"),
        currency="EUR",
        latency=0.0,
    )
    assert cost_parts(embedding) == ["tokens: 7", "price: 0.1 EUR"]


def test_a_provider_that_takes_any_name_is_listed_with_a_star() -> None:
    entry = WorkerEntry(
        name="w", pool="p", queues=["llm"], catalog="c", host="h", pid=1, concurrency=1
    )
    provider = ProviderEntry(
        name="openai", any_model=True, model_types=[ModelType.LLM, ModelType.TTS]
    )
    workers = (LiveWorker(entry, {"openai": provider}),)
    rows = [(name, facts.model, facts.model_type.value) for name, facts in rows_of(workers, None)]
    assert rows == [("openai", ANY_MODEL, "llm"), ("openai", ANY_MODEL, "tts")]
    assert [facts.model_type for _, facts in rows_of(workers, ModelType.TTS)] == [ModelType.TTS]


def test_an_unknown_model_type_names_those_there_are() -> None:
    assert parse_type("text-embedding") is ModelType.TEXT_EMBEDDING
    assert parse_type(None) is None
    with pytest.raises(InvalidRequestError, match="must be one of llm, text-embedding, rerank"):
        parse_type("embedding")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.00 s"),
        (0.256, "0.26 s"),
        (42.4, "42 s"),
        (119, "119 s"),
        (180, "3 min"),
        (7100, "118 min"),
        (7200, "2 h"),
        (200_000, "2 d"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_texts_are_made_harmless() -> None:
    assert printable("a\x1b[2J\tb\r\n\x9bc") == "a[2J\tb\nc"
    assert one_line("  a\n b\x07 ") == "a b"
    assert amount(Decimal("100.00")) == "100"
    assert amount(Decimal("0.0000120")) == "0.000012"


def test_commands_of_other_packages_are_there() -> None:
    command = typer.main.get_command(app)
    names = list(getattr(command, "commands", {}))
    assert {"invoke", "attach", "status", "cancel", "models", "worker", "up", "config"} <= set(
        names
    )
