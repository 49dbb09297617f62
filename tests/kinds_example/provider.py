"""A provider with a call method of its own."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from invokeq.protocol.entities import AIModelEntity, ModelType
from invokeq.protocol.errors import RateLimitedError, RejectedByProviderError
from invokeq_providers.base import Provider
from invokeq_providers.call_methods import unary_call

WORDS: Final = {"de": {"good": "guten", "day": "Tag"}, "fr": {"good": "bon", "day": "jour"}}


@dataclass(frozen=True, slots=True)
class TranslationCall:
    """One text to translate."""

    model: str
    text: str
    target: str


class TranslatingProvider(Provider):
    """A provider that translates."""

    @unary_call
    @abstractmethod
    async def translate(self, call: TranslationCall) -> str:
        """Return the text in the language of the code `target`."""


class DictionaryProvider(TranslatingProvider):
    """Translates by the word; the vendor is too busy for the first call of each text."""

    model_types = frozenset({ModelType.LLM})

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        self._seen: set[str] = set()

    def models(self) -> Sequence[AIModelEntity]:
        facts: dict[str, Any] = {"model": "pocket", "model_type": "llm", "model_properties": {}}
        return [AIModelEntity.model_validate(facts)]

    async def translate(self, call: TranslationCall) -> str:
        if call.text not in self._seen:
            self._seen.add(call.text)
            raise RateLimitedError(provider=self.name, model=call.model, detail="busy")
        words = WORDS.get(call.target)
        if words is None:
            raise RejectedByProviderError(
                provider=self.name,
                model=call.model,
                status=400,
                detail=f"no language {call.target}",
            )
        return " ".join(words.get(word, word) for word in call.text.split())
