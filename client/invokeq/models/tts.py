"""`session.model.tts`: Dify's signature and results, over the queue."""

from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any, Unpack

from invokeq.async_invocation import AsyncInvocation
from invokeq.invocation import Invocation
from invokeq.models.calls import AsyncCalls, Calls, Preparing
from invokeq.operations.call import Call
from invokeq.operations.options import CallExtras, call_options
from invokeq.protocol.entities import TTSModelConfig
from invokeq.requests.speech import build_tts_request
from invokeq.results.decode import tts_decoder
from invokeq.results.speech import AudioSegment


class TTSCalls(Preparing):
    """Checks the arguments of speech calls."""

    def prepare(
        self,
        model_config: TTSModelConfig | Mapping[str, Any],
        content_text: str,
        **extras: Unpack[CallExtras],
    ) -> Call[AudioSegment, bytes]:
        """Check and return a call, unsent, for `session.submit_many`."""
        options = call_options(**extras)
        request = build_tts_request(model_config, content_text)
        return self._call(request, options, tts_decoder(request))


class TTS(TTSCalls, Calls):
    """Turns texts into speech."""

    def invoke(
        self,
        model_config: TTSModelConfig | Mapping[str, Any],
        content_text: str,
        **extras: Unpack[CallExtras],
    ) -> Generator[bytes, None, None]:
        """Speak a text; each item is one audio segment, playable alone or joined with the others.

        The request is sent on the first `next()`; closing or dropping the generator cancels.
        """
        return self._stream(self.prepare(model_config, content_text, **extras))

    def submit(
        self,
        model_config: TTSModelConfig | Mapping[str, Any],
        content_text: str,
        **extras: Unpack[CallExtras],
    ) -> Invocation[AudioSegment, bytes]:
        """Enqueue now and return the handle; items have a `mime_type`."""
        return self._start(self.prepare(model_config, content_text, **extras))


class AsyncTTS(TTSCalls, AsyncCalls):
    """Turns texts into speech, on asyncio."""

    def invoke(
        self,
        model_config: TTSModelConfig | Mapping[str, Any],
        content_text: str,
        **extras: Unpack[CallExtras],
    ) -> AsyncGenerator[bytes, None]:
        """Speak a text: `async for` over playable segments. See `TTS.invoke`."""
        return self._stream(self.prepare(model_config, content_text, **extras))

    async def submit(
        self,
        model_config: TTSModelConfig | Mapping[str, Any],
        content_text: str,
        **extras: Unpack[CallExtras],
    ) -> AsyncInvocation[AudioSegment, bytes]:
        """Enqueue now and return the handle; items have a `mime_type`."""
        return await self._start(self.prepare(model_config, content_text, **extras))
