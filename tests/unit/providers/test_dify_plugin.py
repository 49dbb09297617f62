"""The parts of the provider of plugins, without a plugin: forms, YAML, errors, answers, pool."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from invokeq.dify.plugins import PluginProcess, load_package
from invokeq.protocol.entities import AIModelEntity, ModelType
from invokeq.protocol.errors import (
    CredentialsError,
    InternalError,
    InvalidConfigurationError,
    InvokeqError,
    PluginCrashedError,
    PluginFailedError,
    PluginStartError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
)
from invokeq_providers.dify_plugin import answers
from invokeq_providers.dify_plugin.credentials import FormField, fill_form, secrets_in
from invokeq_providers.dify_plugin.declaration import read_declaration
from invokeq_providers.dify_plugin.errors import PluginErrors
from invokeq_providers.dify_plugin.pool import LAST_DELAY, ProcessPool, restart_delay
from tests.support.dify.fake_plugin import MANIFEST, write_plugin
from tests.support.waiting import eventually_async

FORM = [
    FormField.model_validate(field)
    for field in (
        {"variable": "key", "type": "secret-input"},
        {"variable": "mode", "type": "select", "default": "chat", "options": [{"value": "chat"}]},
        {"variable": "fast", "type": "switch", "required": False},
        {"variable": "size", "required": False, "max_length": 4},
        {
            "variable": "voice",
            "show_on": [{"variable": "__model_type", "value": "tts"}],
        },
        {"variable": "more", "show_on": [{"variable": "mode", "value": "other"}]},
    )
]


def filled(model_type: ModelType = ModelType.LLM, **given: Any) -> Mapping[str, Any]:
    return fill_form(FORM, given, provider="p", model_type=model_type, model="m")


def test_a_form_gives_texts_and_switches_and_defaults() -> None:
    given = filled(key="k", fast=True, size=512)
    assert given == {"key": "k", "mode": "chat", "fast": True, "size": "512"}
    assert list(secrets_in(FORM, given)) == ["k"]


def test_fields_of_other_model_types_are_left_out() -> None:
    assert "voice" not in filled(key="k", voice="low")
    assert filled(ModelType.TTS, key="k", voice="low")["voice"] == "low"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "key is missing"),
        ({"key": ""}, "key is missing"),
        ({"key": "s3cret", "colour": "red"}, "there is no colour"),
        ({"key": "s3cret", "mode": "completion"}, "mode must be one of: chat"),
        ({"key": "s3cret", "fast": "maybe"}, "fast must be true or false"),
        ({"key": "s3cret", "size": 12345}, "size is longer than 4 characters"),
    ],
)
def test_a_form_refuses(given: Mapping[str, Any], problem: str) -> None:
    with pytest.raises(CredentialsError, match=problem) as caught:
        filled(**given)
    assert "s3cret" not in str(caught.value.to_wire())


PROVIDER = """\
provider: acme
supported_model_types: [llm, rerank]
configurate_methods: [predefined-model]
models:
  llm: {predefined: ["models/*.yaml"]}
"""


def declared(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Return the names of the models of a plugin with the given files."""
    manifest = MANIFEST.replace("tools: [provider/fake.yaml]", "models: [provider.yaml]")
    write_plugin(folder, manifest=manifest)
    (folder / "models").mkdir()
    for name, text in {"provider.yaml": PROVIDER, **files}.items():
        (folder / name).write_text(text)
    return [model.model for model in read_declaration(load_package(folder)).models]


def llm(name: str) -> str:
    return f"model: {name}\nmodel_type: llm\nmodel_properties: {{mode: chat}}\n"


def test_models_come_by_position_then_by_file(tmp_path: Path) -> None:
    files = {f"models/{name}.yaml": llm(name) for name in "abcd"}
    files["models/_position.yaml"] = "- c\n- gone\n- b\n"
    assert declared(tmp_path, files) == ["c", "b", "a", "d"]


@pytest.mark.parametrize(
    ("files", "file", "setting"),
    [
        ({"models/a.yaml": "model: a\nmodel_type: llm\n"}, "models/a.yaml", "model_properties"),
        ({"models/a.yaml": llm("a") + "features: [magic]\n"}, "models/a.yaml", "features.0"),
        ({"models/a.yaml": "- a"}, "models/a.yaml", "file"),
        ({"models/a.yaml": llm("a").replace("llm", "tts")}, "provider.yaml", "supported_model"),
        ({"provider.yaml": "provider: acme\n"}, "provider.yaml", "supported_model_types"),
        ({"models/_position.yaml": "a: b"}, "models/_position.yaml", "file"),
    ],
)
def test_wrong_yaml_is_named_with_its_field(
    tmp_path: Path, files: Mapping[str, str], file: str, setting: str
) -> None:
    with pytest.raises(InvalidConfigurationError) as caught:
        declared(tmp_path, files)
    assert caught.value.source == str(tmp_path / file)
    assert caught.value.setting.startswith(setting)


def failed(error_type: str, message: str = "no") -> PluginFailedError:
    return PluginFailedError(plugin="a/b", error_type=error_type, message=message)


@pytest.mark.parametrize(
    ("error", "cls"),
    [
        (failed("InvokeRateLimitError"), RateLimitedError),
        (failed("RateLimitError"), RateLimitedError),
        (failed("InvokeAuthorizationError"), CredentialsError),
        (failed("InvokeBadRequestError"), RejectedByProviderError),
        (failed("InvokeServerUnavailableError"), ProviderUnavailableError),
        (failed("ReadTimeout"), ProviderUnavailableError),
        (failed("InvokeError", "API request failed with status code 429: slow"), RateLimitedError),
        (failed("InvokeError", "Error code: 401 - bad key"), CredentialsError),
        (failed("ValueError", "HTTP 503 from upstream"), ProviderUnavailableError),
        (failed("InvokeError", "[models] Error: 4000 tokens"), PluginFailedError),
        (PluginCrashedError(plugin="a/b", problem="exit status 1"), PluginCrashedError),
        (InternalError(detail="x"), InternalError),
    ],
)
def test_what_a_plugin_raises_becomes_ours(error: InvokeqError, cls: type[InvokeqError]) -> None:
    assert type(PluginErrors("p", []).translated(error, "m")) is cls


def test_secrets_and_unknown_texts_stay_here(caplog: pytest.LogCaptureFixture) -> None:
    errors = PluginErrors("p", ["s3cret"])
    known = errors.translated(failed("InvokeError", "it was s3cret"), "m", 4)
    assert isinstance(known, PluginFailedError)
    assert (known.message, known.chunks) == ("it was ***", 4)
    unknown = errors.translated(failed("KeyError", "a prompt, s3cret"), "m")
    assert isinstance(unknown, PluginFailedError)
    assert unknown.message == "the worker's log has more"
    assert "a prompt, ***" in caplog.text
    assert "s3cret" not in caplog.text


def chunk(**delta: Any) -> dict[str, Any]:
    return {"model": "m", "delta": {"index": 0, "message": {"content": "a"}, **delta}}


def test_an_answer_always_ends_with_usage_and_a_reason() -> None:
    stream = answers.ChunkStream("m")
    stream.read(chunk(finish_reason="length"))
    stream.read(chunk(index=1))
    last = stream.end()
    assert last is not None
    assert (last.delta.index, last.delta.finish_reason) == (2, "length")
    assert last.delta.usage is not None
    stream.read(last.model_dump(mode="json"))
    assert stream.end() is None
    with pytest.raises(ValueError, match="empty"):
        answers.ChunkStream("m").end()


@pytest.mark.parametrize(
    ("audio", "said", "audio_type", "mime_type"),
    [
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None, "mp3", "audio/wav"),
        (b"?", None, "mp3", "audio/mpeg"),
        (b"?", None, "", "audio/mpeg"),
        (b"?", None, "opus", "audio/opus"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/x-own", "mp3", "audio/x-own"),
    ],
)
def test_the_type_of_speech(
    audio: bytes, said: str | None, audio_type: str, mime_type: str
) -> None:
    properties = {"audio_type": audio_type}
    facts = AIModelEntity.model_validate(
        {"model": "m", "model_type": "tts", "model_properties": properties}
    )
    pieces = [{"result": audio[:2].hex()}, {"result": audio[2:].hex(), "mime_type": said}]
    assert answers.speech(pieces, facts) == answers.Speech(audio, mime_type)


@pytest.mark.parametrize("data", [{}, {"result": 1}, {"result": None}])
def test_a_verdict_is_true_or_false(data: Mapping[str, Any]) -> None:
    with pytest.raises(answers.NO_ANSWER):
        answers.verdict(data)


def test_restarts_are_spaced_out() -> None:
    assert [restart_delay(lives) for lives in range(1, 6)] == [0.0, 1.0, 2.0, 4.0, 8.0]
    assert restart_delay(100) == LAST_DELAY


class FakeProcess:
    """A fake process that ends on demand."""

    sessions = 0

    def __init__(self) -> None:
        self._end = asyncio.Event()

    @property
    def ended(self) -> bool:
        return self._end.is_set()

    async def wait(self) -> PluginCrashedError:
        await self._end.wait()
        return PluginCrashedError(plugin="a/b", problem="exit status 1", stderr="")

    async def close(self) -> None:
        self._end.set()


async def test_a_plugin_that_does_not_come_back_is_said_to_be_away() -> None:
    """Hangs where `pick` waits without looking at when the next start is due."""
    made: list[FakeProcess] = []

    async def start_one() -> FakeProcess:
        if made:
            raise PluginStartError(plugin="a/b", problem="it broke")
        made.append(FakeProcess())
        return made[0]

    start = cast(Callable[[], Awaitable[PluginProcess]], start_one)
    pool = ProcessPool("a/b", 1, start)
    await pool.start()
    assert await pool.pick() is cast(object, made[0])
    await made[0].close()

    async def away() -> float | None:
        try:
            await pool.pick()
        except PluginCrashedError as error:
            return error.retry_after
        return None

    retry_after = await away()
    assert retry_after is not None
    assert 0 < retry_after <= 1.0
    await pool.close()


async def test_the_process_with_the_fewest_calls_is_picked() -> None:
    made: list[FakeProcess] = []

    async def start_one() -> FakeProcess:
        made.append(FakeProcess())
        made[-1].sessions = 3 - len(made)
        return made[-1]

    pool = ProcessPool("a/b", 3, cast(Callable[[], Awaitable[PluginProcess]], start_one))
    await pool.start()
    await eventually_async("all three run", lambda: len(pool.alive) == 3)
    assert await pool.pick() is cast(object, made[2])
    await pool.close()
    assert all(process.ended for process in made)
