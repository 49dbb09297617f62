"""Retries apply to every call method of a provider, also to those that a third party adds."""

import copy
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest

from invokeq.protocol.errors import (
    InvalidRequestError,
    ProviderUnavailableError,
    RateLimitedError,
)
from invokeq_providers.base import Provider, provider_as
from invokeq_providers.call_methods import CallStyle, call_styles, streaming_call, unary_call
from invokeq_providers.options import Batch
from invokeq_providers.wrappers.delegating import DelegatingProvider
from invokeq_providers.wrappers.shared_embedding import SharedEmbedding
from invokeq_worker.config.retry_policy import RetryPolicy
from invokeq_worker.vendor.retrying import RetryingProvider
from invokeq_worker.vendor.vendor_calls import FailedCall, VendorCalls


@dataclass(frozen=True)
class TranslationCall:
    model: str
    text: str


class Translator(Provider):
    """A provider with calls of its own; the first `failures` calls are refused by the vendor."""

    languages = ("de", "en")

    def __init__(self, failures: int) -> None:
        super().__init__("acme", {})
        self.left = failures

    @unary_call
    async def translate(self, call: TranslationCall) -> str:
        self._refuse()
        return call.text.upper()

    @streaming_call
    async def translate_live(self, call: TranslationCall) -> AsyncGenerator[str, None]:
        self._refuse()
        for word in call.text.split():
            yield word
            if word == "broken":
                raise ProviderUnavailableError(provider="acme", model=call.model, detail="gone")

    def language_of(self, text: str) -> str:
        return self.languages[len(text) % 2]

    def _refuse(self) -> None:
        if self.left:
            self.left -= 1
            raise RateLimitedError(provider="acme", model="m", detail="later")


class OfflineTranslator(Translator):
    async def translate(self, call: TranslationCall) -> str:
        return f"offline {await super().translate(call)}"


def wrapped(provider: Provider) -> tuple[Provider, VendorCalls, list[FailedCall]]:
    failed: list[FailedCall] = []
    policy = RetryPolicy(calls=3, base=0.0)
    calls = VendorCalls("r", lambda _: policy, time.time() + 60, failed.append)
    return RetryingProvider(SharedEmbedding(provider, Batch()), calls), calls, failed


CALL = TranslationCall(model="m", text="guten tag")


async def test_a_method_of_a_third_party_is_called_again() -> None:
    provider, calls, failed = wrapped(Translator(2))
    assert await provider_as(provider, Translator).translate(CALL) == "GUTEN TAG"
    assert calls.made == 3
    assert [(call.error.code, str(call.model)) for call in failed] == [
        ("rate_limited", "acme/m")
    ] * 2


async def test_a_stream_of_a_third_party_is_begun_again() -> None:
    provider, calls, _ = wrapped(Translator(1))
    stream = provider_as(provider, Translator).translate_live(CALL)
    assert [word async for word in stream] == ["guten", "tag"]
    assert calls.made == 2


async def test_a_stream_of_a_third_party_that_has_emitted_is_not_begun_again() -> None:
    provider, calls, _ = wrapped(Translator(0))
    broken = TranslationCall(model="m", text="one broken two")
    with pytest.raises(ProviderUnavailableError):
        async for _ in provider_as(provider, Translator).translate_live(broken):
            pass
    assert calls.made == 1


async def test_an_override_keeps_the_mark_of_the_method() -> None:
    provider, calls, _ = wrapped(OfflineTranslator(1))
    assert await provider_as(provider, Translator).translate(CALL) == "offline GUTEN TAG"
    assert calls.made == 2


def test_other_attributes_pass_unchanged() -> None:
    provider, calls, _ = wrapped(Translator(0))
    translator = provider_as(provider, Translator)
    assert translator.language_of("ab") == "de"
    assert translator.languages == ("de", "en")
    assert calls.made == 0
    with pytest.raises(AttributeError):
        _ = translator.no_such_thing  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]


def test_a_provider_without_the_method_is_refused() -> None:
    provider, _, _ = wrapped(Provider("plain", {}))
    with pytest.raises(InvalidRequestError, match="plain serves no calls of this kind"):
        provider_as(provider, Translator)


def test_a_wrapper_can_be_copied() -> None:
    copied = copy.copy(DelegatingProvider(Translator(0)))
    assert isinstance(copied.unwrapped, Translator)


def test_every_call_of_a_provider_is_marked() -> None:
    styles = call_styles(Provider)
    assert {name for name, style in styles.items() if style is CallStyle.STREAMING} == {"llm"}
    assert {name for name, style in styles.items() if style is CallStyle.UNARY} == {
        "text_embedding",
        "rerank",
        "tts",
        "speech2text",
        "moderation",
    }
    assert call_styles(OfflineTranslator).keys() - styles.keys() == {"translate", "translate_live"}
