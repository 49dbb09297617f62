"""`session.model.tts`: Dify's signature and results, over the queue."""

from collections.abc import AsyncGenerator, Generator, Mapping
from datetime import datetime
from typing import Any

from invokeq.async_invocation import AsyncInvocation
from invokeq.core.answers import TTS as TTS_SHAPE
from invokeq.core.enqueue import Prepared
from invokeq.core.options import CallOptions, call_options
from invokeq.core.speech import AudioSegment, build_tts_request
from invokeq.invocation import Invocation
from invokeq.model.calls import AsyncCalls, Calls
from invokeq.protocol.entities import TTSModelConfig
from invokeq.protocol.requests import Priority


class TTS(Calls):
    """Speaks."""

    def invoke(
        self,
        model_config: TTSModelConfig | Mapping[str, Any],
        content_text: str,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Generator[bytes, None, None]:
        """Speak a text: each item is one audio segment that plays alone, and so does the whole.

        Nothing is sent before the first `next()`; closing or dropping the generator cancels.
        """
        prepared = self._prepare(build_tts_request(model_config, content_text))
        return self._stream(prepared, call_options(request_id, deadline, priority, detached))

    def submit(
        self,
        model_config: TTSModelConfig | Mapping[str, Any],
        content_text: str,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Invocation[AudioSegment, bytes]:
        """Enqueue now and give the handle; its items know their `mime_type`."""
        prepared = self._prepare(build_tts_request(model_config, content_text))
        call = call_options(request_id, deadline, priority, detached)
        return self._start(prepared, call, TTS_SHAPE)

    def _stream(self, prepared: Prepared, call: CallOptions) -> Generator[bytes, None, None]:
        with self._start(prepared, call, TTS_SHAPE) as invocation:
            yield from invocation


class AsyncTTS(AsyncCalls):
    """Speaks, on asyncio."""

    def invoke(
        self,
        model_config: TTSModelConfig | Mapping[str, Any],
        content_text: str,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> AsyncGenerator[bytes, None]:
        """Speak a text: `async for` over segments that play alone. Otherwise as `TTS.invoke`."""
        prepared = self._prepare(build_tts_request(model_config, content_text))
        return self._stream(prepared, call_options(request_id, deadline, priority, detached))

    async def submit(
        self,
        model_config: TTSModelConfig | Mapping[str, Any],
        content_text: str,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> AsyncInvocation[AudioSegment, bytes]:
        """Enqueue now and give the handle; its items know their `mime_type`."""
        prepared = self._prepare(build_tts_request(model_config, content_text))
        call = call_options(request_id, deadline, priority, detached)
        return await self._start(prepared, call, TTS_SHAPE)

    async def _stream(self, prepared: Prepared, call: CallOptions) -> AsyncGenerator[bytes, None]:
        async with await self._start(prepared, call, TTS_SHAPE) as invocation:
            async for segment in invocation:
                yield segment
