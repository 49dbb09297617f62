"""`session.model.speech2text`: Dify's signature and result, over the queue."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import IO, Any

from invokeq.async_invocation import AsyncInvocation
from invokeq.core.answers import SPEECH2TEXT
from invokeq.core.options import call_options
from invokeq.core.speech import build_speech2text_request, read_audio
from invokeq.invocation import Invocation
from invokeq.model.calls import AsyncCalls, Calls
from invokeq.protocol.entities import Speech2TextModelConfig
from invokeq.protocol.requests import Priority


class Speech2Text(Calls):
    """Writes down speech."""

    def invoke(
        self,
        model_config: Speech2TextModelConfig | Mapping[str, Any],
        file: IO[bytes],
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> str:
        """Write down what is said in an audio file, which is read to its end, in parts."""
        audio = read_audio(file, self._options.max_file_bytes)
        prepared = self._prepare(build_speech2text_request(model_config, audio), audio)
        call = call_options(request_id, deadline, priority, detached)
        return self._result(prepared, call, SPEECH2TEXT)

    def submit(
        self,
        model_config: Speech2TextModelConfig | Mapping[str, Any],
        file: IO[bytes],
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Invocation[str, str]:
        """Enqueue now and give the handle."""
        audio = read_audio(file, self._options.max_file_bytes)
        prepared = self._prepare(build_speech2text_request(model_config, audio), audio)
        call = call_options(request_id, deadline, priority, detached)
        return self._start(prepared, call, SPEECH2TEXT)


class AsyncSpeech2Text(AsyncCalls):
    """Writes down speech, on asyncio; the file is read in a thread."""

    async def invoke(
        self,
        model_config: Speech2TextModelConfig | Mapping[str, Any],
        file: IO[bytes],
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> str:
        """Write down what is said in an audio file, which is read to its end, in parts."""
        audio = await asyncio.to_thread(read_audio, file, self._options.max_file_bytes)
        prepared = self._prepare(build_speech2text_request(model_config, audio), audio)
        call = call_options(request_id, deadline, priority, detached)
        return await self._result(prepared, call, SPEECH2TEXT)

    async def submit(
        self,
        model_config: Speech2TextModelConfig | Mapping[str, Any],
        file: IO[bytes],
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> AsyncInvocation[str, str]:
        """Enqueue now and give the handle."""
        audio = await asyncio.to_thread(read_audio, file, self._options.max_file_bytes)
        prepared = self._prepare(build_speech2text_request(model_config, audio), audio)
        call = call_options(request_id, deadline, priority, detached)
        return await self._start(prepared, call, SPEECH2TEXT)
