"""Kinds of call as a session knows them: built from the table, built-in or of another package."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Unpack

import pytest

from invokeq import (
    AsyncCalls,
    AsyncSession,
    Call,
    CallExtras,
    CallRequest,
    Calls,
    ResultDecoder,
    Session,
    call_options,
    event_reader,
    only_item,
)
from invokeq.entities import ModelType
from invokeq.errors import InvalidRequestError, ProviderUnavailableError
from invokeq.protocol import codec, kinds
from invokeq.protocol.events import EventKind, result
from invokeq.protocol.kinds import CallKind, builtin_kinds, resolve
from invokeq.protocol.requests import ModelRequest
from invokeq.results.decode import ANY
from invokeq.testing import FakeAsyncSession, FakeEvent, FakeKind, FakeSession, Output

WHERE = {"provider": "p", "model": "m"}
DOWN = ProviderUnavailableError(provider="p", model="m", detail="HTTP 502")


class TranslationRequest(ModelRequest):
    """A kind of another package: a text in another language."""

    model_type: ClassVar[ModelType] = ModelType.LLM

    kind: Literal["translation"] = "translation"
    text: str


def translation_decoder(request: TranslationRequest) -> ResultDecoder[str, str]:
    """Decode the text, under the name of the model that was asked."""
    return ResultDecoder(
        event_reader(result=lambda event: f"{request.model}: {event.data['text']}"), only_item
    )


class _Translations:
    """Checks the arguments, for both faces."""

    _call: Any

    def prepare(self, text: str, **extras: Unpack[CallExtras]) -> Call[str, str]:
        request = TranslationRequest(provider="p", model="m", text=text)
        return self._call(request, call_options(**extras), translation_decoder(request))


class Translations(_Translations, Calls):
    def invoke(self, text: str, **extras: Unpack[CallExtras]) -> str:
        return self._result(self.prepare(text, **extras))


class AsyncTranslations(_Translations, AsyncCalls):
    async def invoke(self, text: str, **extras: Unpack[CallExtras]) -> str:
        return await self._result(self.prepare(text, **extras))


def _events(_: TranslationRequest, answer: str) -> Iterator[Output]:
    yield FakeEvent(EventKind.RESULT, result({"text": answer}))


fake: FakeKind[TranslationRequest, str] = FakeKind(
    "translation", "a text", lambda value: isinstance(value, str), _events
)

TRANSLATION = CallKind(
    request=TranslationRequest,
    permission="llm",
    attribute="translation",
    path="invoke/translation",
    calls_ref=f"{__name__}:Translations",
    async_calls_ref=f"{__name__}:AsyncTranslations",
    decoder_ref=f"{__name__}:translation_decoder",
    serve_ref="",
    reverse_ref="",
    fake_ref=f"{__name__}:fake",
)


class _Entry:
    name = "translation"

    def load(self) -> CallKind:
        return TRANSLATION


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package that brings the kind `translation`."""

    def entry_points(group: str) -> list[_Entry]:
        return [_Entry()] if group == kinds.ENTRY_POINTS else []

    monkeypatch.setattr(kinds, "entry_points", entry_points)
    _forget()
    yield
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    kinds.call_kinds.cache_clear()
    codec.request_adapter.cache_clear()


@pytest.mark.parametrize("kind", builtin_kinds().values(), ids=builtin_kinds())
def test_a_built_in_kind_is_what_the_table_says(kind: CallKind) -> None:
    session, other, scripted = Session("a"), AsyncSession("a"), FakeSession()
    assert type(session.model.of(kind.name)) is resolve(kind.calls_ref)
    assert type(other.model.of(kind.name)) is resolve(kind.async_calls_ref)
    for models in (session.model, other.model, scripted.model):
        assert models.of(kind.name) is getattr(models, kind.attribute)
        assert hasattr(models.of(kind.name), kind.method)
    assert isinstance(resolve(kind.fake_ref), FakeKind)
    assert resolve(kind.decoder_ref).__name__ == f"{kind.name}_decoder"


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidRequestError, match="kind: must be one of llm, "):
        Session("a").model.of("nonsense")


@pytest.mark.usefixtures("installed")
def test_a_kind_of_another_package_is_called_and_faked() -> None:
    session = FakeSession()
    translation = session.model.of("translation")
    assert translation is session.model.of("translation")
    translation.answers("Bonjour", DOWN)
    assert translation.invoke("Hello") == "m: Bonjour"
    with pytest.raises(ProviderUnavailableError, match="HTTP 502"):
        translation.invoke("Hello")
    (first, _) = translation.calls
    assert first == TranslationRequest(provider="p", model="m", text="Hello")
    assert session.calls == translation.calls
    with pytest.raises(TypeError, match="an answer of translation is a text"):
        translation.answers(7)
    with pytest.raises(AssertionError, match=r"session\.model\.of\('translation'\)\.answers"):
        translation.invoke("Hello")


@pytest.mark.usefixtures("installed")
async def test_the_same_on_asyncio() -> None:
    session = FakeAsyncSession()
    session.model.of("translation").answers("Bonjour")
    assert await session.model.of("translation").invoke("Hello") == "m: Bonjour"


@pytest.mark.usefixtures("installed")
def test_who_has_the_request_attaches_to_a_result_of_its_kind() -> None:
    session = FakeSession()
    calls = session.model.of("translation")
    calls.answers("Bonjour")
    call: Call[str, str] = calls.prepare("Hello", detached=True)
    (done,) = session.submit_many([call])
    request: CallRequest = call.request
    assert session.attach(done.request_id, request=request).result() == "m: Bonjour"
    assert session.attach(done.request_id).result() == {"text": "Bonjour"}


def test_who_has_the_request_of_a_ranking_gets_its_texts() -> None:
    session = FakeSession()
    session.model.rerank.answers([0.1, 0.9])
    call = session.model.rerank.prepare(WHERE, ["a", "b"], "q", detached=True)
    (done,) = session.submit_many([call])
    known = session.attach(done.request_id, request=call.request).result()
    assert [doc.text for doc in known.docs] == ["b", "a"]
    assert [doc.text for doc in session.attach(done.request_id).result().docs] == ["", ""]


def test_a_reader_without_a_request_decodes_every_kind() -> None:
    reader = FakeSession().attach("0" * 32)
    assert reader._decoder is ANY  # pyright: ignore[reportPrivateUsage]: the choice is to be seen


CONTENT = [{"content": "a", "content_type": "text"}, {"content": "aGk=", "content_type": "image"}]


def test_documents_are_submitted_and_read_by_a_handle() -> None:
    session = FakeSession()
    session.model.text_embedding.answers([[1.0], [2.0]])
    session.model.rerank.answers([0.1, 0.2])
    vectors = session.model.text_embedding.submit_multimodal(WHERE, CONTENT)
    ranking = session.model.rerank.submit_multimodal(WHERE, CONTENT[0], CONTENT)
    assert vectors.status().state == "queued"
    assert vectors.result().embeddings == [[1.0], [2.0]]
    assert [(doc.index, doc.text) for doc in ranking.result().docs] == [(1, ""), (0, "a")]
    assert [call.kind for call in session.calls] == ["multimodal_embedding", "multimodal_rerank"]


async def test_documents_are_submitted_on_asyncio_as_well() -> None:
    session = FakeAsyncSession()
    session.model.text_embedding.answers([[1.0], [2.0]])
    session.model.rerank.answers([0.1, 0.2])
    vectors = await session.model.text_embedding.submit_multimodal(WHERE, CONTENT)
    ranking = await session.model.rerank.submit_multimodal(WHERE, CONTENT[0], CONTENT)
    assert (await vectors.result()).embeddings == [[1.0], [2.0]]
    assert [doc.index for doc in (await ranking.result()).docs] == [1, 0]
