"""The caller's side: arguments become a request, events become a text."""

from invokeq.models.calls import AsyncCalls, Calls, Preparing
from invokeq.operations.call import Call
from invokeq.operations.options import call_options
from invokeq.protocol.events import Event
from invokeq.results.decode import ResultDecoder, event_reader, only_item
from tests.kinds_example.kind import TranslationRequest


def translation_decoder(request: TranslationRequest) -> ResultDecoder[str, str]:
    """Decode the only event of a translation."""
    del request
    return ResultDecoder(event_reader(result=_text), only_item)


def _text(event: Event) -> str:
    return str(event.data["text"])


class TranslationCalls(Preparing):
    """Checks the arguments of translations."""

    def prepare(self, provider: str, model: str, text: str, target: str) -> Call[str, str]:
        """Return a checked call for `session.submit_many`."""
        request = TranslationRequest(provider=provider, model=model, text=text, target=target)
        return self._call(request, call_options(), translation_decoder(request))


class Translation(TranslationCalls, Calls):
    """Translates texts."""

    def invoke(self, provider: str, model: str, text: str, target: str) -> str:
        """Return a text in the language of the code `target`."""
        return self._result(self.prepare(provider, model, text, target))


class AsyncTranslation(TranslationCalls, AsyncCalls):
    """Translates texts, on asyncio."""

    async def invoke(self, provider: str, model: str, text: str, target: str) -> str:
        """Return a text in the language of the code `target`."""
        return await self._result(self.prepare(provider, model, text, target))
