"""Embedding calls of several callers as one call of a vendor."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from invokeq.protocol.entities import (
    EmbeddingInputType,
    ModelType,
    MultiModalContent,
    MultiModalContentType,
)
from invokeq.protocol.errors import InvalidConfigurationError
from invokeq_providers import build_providers
from invokeq_providers.base import Embedded, EmbeddingCall, Provider
from invokeq_providers.scripted import ScriptedProvider
from invokeq_providers.scripted.vectors import scripted_vector
from invokeq_providers.wrappers.delegating import DelegatingProvider
from invokeq_providers.wrappers.shared_embedding import SharedEmbedding
from tests.contract import calls

HOUR_MS = 3_600_000


class Vendor(ScriptedProvider):
    """A provider that records calls; a text `bad` spoils the whole answer."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        super().__init__(name, options)
        self.calls: list[EmbeddingCall] = []
        self.tokens: int | None = None

    async def text_embedding(self, call: EmbeddingCall) -> Embedded:
        self.calls.append(call)
        embedded = await super().text_embedding(call)
        rows = embedded.rows[:-1] if "bad" in call.texts else embedded.rows
        return Embedded(rows, embedded.tokens if self.tokens is None else self.tokens)


def shared(texts: int, wait_ms: float = HOUR_MS, **options: Any) -> tuple[Vendor, Provider]:
    vendor = Vendor("scripted", {**options, "batch": {"texts": texts, "wait_ms": wait_ms}})
    assert vendor.batch is not None
    return vendor, SharedEmbedding(vendor, vendor.batch)


def call(provider: Provider, *texts: str, **changes: Any) -> EmbeddingCall:
    made = calls.embedding(provider, "hash", texts, input_type=EmbeddingInputType.QUERY)
    return replace(made, **changes)


async def test_callers_get_their_own_vectors_of_one_call() -> None:
    """Without `batch` there are three calls, each with a user."""
    vendor, provider = shared(texts=4)
    groups = [["a", "b"], ["c"], ["d"]]
    found = await asyncio.gather(
        *(provider.text_embedding(call(provider, *texts)) for texts in groups)
    )
    assert [each.rows for each in found] == [
        [scripted_vector(text) for text in texts] for texts in groups
    ]
    (made,) = vendor.calls
    assert list(made.texts) == ["a", "b", "c", "d"]
    assert made.user is None


async def test_tokens_are_dealt_by_length_and_add_up() -> None:
    vendor, provider = shared(texts=3)
    vendor.tokens = 10
    found = await asyncio.gather(
        *(provider.text_embedding(call(provider, text)) for text in ("aaaa", "b", "bbb"))
    )
    assert [each.tokens for each in found] == [5, 1, 4]


async def test_models_and_input_types_are_kept_apart() -> None:
    vendor, provider = shared(texts=2, models={"other": {"like": "hash"}})
    document = EmbeddingInputType.DOCUMENT
    asked = [
        call(provider, "a"),
        call(provider, "b", input_type=document),
        call(provider, "c", model="other"),
    ]
    more = [replace(each, texts=["z"]) for each in asked]
    await asyncio.gather(*(provider.text_embedding(each) for each in [*asked, *more]))
    assert [(c.model, c.input_type, list(c.texts)) for c in vendor.calls] == [
        ("hash", EmbeddingInputType.QUERY, ["a", "z"]),
        ("hash", document, ["b", "z"]),
        ("other", EmbeddingInputType.QUERY, ["c", "z"]),
    ]


async def test_the_bound_of_the_model_holds() -> None:
    """The scripted model takes 32 texts; without `max_chunks` there would be one call of 40."""
    vendor, provider = shared(texts=1000, wait_ms=1)
    each = [f"t{n}" for n in range(8)]
    await asyncio.gather(*(provider.text_embedding(call(provider, *each)) for _ in range(5)))
    assert [len(made.texts) for made in vendor.calls] == [32, 8]


async def test_who_is_alone_is_asked_as_ever() -> None:
    vendor, provider = shared(texts=4, wait_ms=1)
    await provider.text_embedding(call(provider, "a"))
    document = MultiModalContent(content="d", content_type=MultiModalContentType.TEXT)
    await provider.text_embedding(call(provider, documents=[document]))
    assert [(made.user, made.request_id) for made in vendor.calls] == [
        ("ann", calls.REQUEST_ID)
    ] * 2


async def test_a_spoilt_answer_is_asked_for_again_one_by_one() -> None:
    vendor, provider = shared(texts=3)
    found = await asyncio.gather(
        *(provider.text_embedding(call(provider, text)) for text in ("a", "bad", "c"))
    )
    assert [len(each.rows) for each in found] == [1, 0, 1]  # the worker's check finds the second
    assert [list(made.texts) for made in vendor.calls] == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]


async def test_all_other_kinds_of_call_pass() -> None:
    vendor, provider = shared(texts=3)
    assert provider.model_types == vendor.model_types
    assert provider.models() == vendor.models()
    assert provider.facts(ModelType.RERANK, "overlap").model == "overlap"
    ranked = await provider.rerank(calls.rerank(provider, "overlap", "a", ["a", "b"]))
    assert [score.index for score in ranked] == [0, 1]
    assert await provider.moderation(calls.moderation(provider, "words", "attack"))
    assert await provider.count_tokens("stream", ["a b"]) == [2]
    assert (await provider.tts(calls.speech(provider, "silence", "hello"))).audio
    heard = await provider.speech2text(calls.transcription(provider, "tags", b"x"))
    assert heard == "1 bytes of audio/wav"
    await provider.close()


def test_it_is_off_unless_the_table_says_so() -> None:
    tables = {"plain": {"type": "scripted"}, "joined": {"type": "scripted", "batch": {"texts": 8}}}
    built = build_providers(tables)
    assert type(built["plain"]) is ScriptedProvider
    assert type(built["joined"]) is SharedEmbedding
    assert built["joined"].name == "joined"


@pytest.mark.parametrize(
    ("table", "setting"),
    [
        ({"type": "scripted", "batch": {"texts": 0}}, "providers.x.batch.texts"),
        ({"type": "scripted", "batch": {"wait_ms": 0}}, "providers.x.batch.wait_ms"),
        ({"type": "scripted", "batch": {"size": 1}}, "providers.x.batch.size"),
        ({"type": "local", "batch": {"texts": 1}}, "providers.x.batch"),
        ({"type": "local", "batch_texts": -1}, "providers.x.batch_texts"),
    ],
)
def test_a_wrong_option_is_named(table: dict[str, Any], setting: str) -> None:
    with pytest.raises(InvalidConfigurationError) as caught:
        build_providers({"x": table})
    assert caught.value.setting == setting


def test_it_stands_for_every_method_of_a_provider() -> None:
    methods = {name for name, what in vars(Provider).items() if callable(what) and name[0] != "_"}
    assert methods <= vars(DelegatingProvider).keys()
