"""`session.model.speech2text`: Dify's signature and result, over the queue."""

import asyncio
from collections.abc import Mapping
from typing import IO, Any, Unpack

from invokeq.async_invocation import AsyncInvocation
from invokeq.invocation import Invocation
from invokeq.models.calls import AsyncCalls, Calls, Preparing
from invokeq.operations.call import Call
from invokeq.operations.options import CallExtras, CallOptions, call_options
from invokeq.protocol.entities import Speech2TextModelConfig
from invokeq.requests.speech import build_speech2text_request, read_audio
from invokeq.results.decode import speech2text_decoder


class Speech2TextCalls(Preparing):
    """Checks the arguments of transcriptions."""

    def _read(self, file: IO[bytes]) -> bytes:
        return read_audio(file, self._options.max_file_bytes)

    def _call_of(self, model_config: object, audio: bytes, options: CallOptions) -> Call[str, str]:
        request = build_speech2text_request(model_config, audio)
        return self._call(request, options, speech2text_decoder(request), audio)


class Speech2Text(Speech2TextCalls, Calls):
    """Transcribes speech."""

    def prepare(
        self,
        model_config: Speech2TextModelConfig | Mapping[str, Any],
        file: IO[bytes],
        **extras: Unpack[CallExtras],
    ) -> Call[str, str]:
        """Read the file, check and return the call, unsent, for `session.submit_many`."""
        options = call_options(**extras)
        return self._call_of(model_config, self._read(file), options)

    def invoke(
        self,
        model_config: Speech2TextModelConfig | Mapping[str, Any],
        file: IO[bytes],
        **extras: Unpack[CallExtras],
    ) -> str:
        """Transcribe an audio file; the file is read to the end, in parts."""
        return self._result(self.prepare(model_config, file, **extras))

    def submit(
        self,
        model_config: Speech2TextModelConfig | Mapping[str, Any],
        file: IO[bytes],
        **extras: Unpack[CallExtras],
    ) -> Invocation[str, str]:
        """Enqueue now and return the handle."""
        return self._start(self.prepare(model_config, file, **extras))


class AsyncSpeech2Text(Speech2TextCalls, AsyncCalls):
    """Transcribes speech, on asyncio; the file is read in a thread."""

    async def prepare(
        self,
        model_config: Speech2TextModelConfig | Mapping[str, Any],
        file: IO[bytes],
        **extras: Unpack[CallExtras],
    ) -> Call[str, str]:
        """Read the file, check and return the call, unsent, for `session.submit_many`.

        Of all kinds, only `speech2text.prepare` must be awaited.
        """
        options = call_options(**extras)
        # A file may be slow, such as a pipe or a network disk, and must not block the loop.
        return self._call_of(model_config, await asyncio.to_thread(self._read, file), options)

    async def invoke(
        self,
        model_config: Speech2TextModelConfig | Mapping[str, Any],
        file: IO[bytes],
        **extras: Unpack[CallExtras],
    ) -> str:
        """Transcribe an audio file; the file is read to the end, in parts."""
        return await self._result(await self.prepare(model_config, file, **extras))

    async def submit(
        self,
        model_config: Speech2TextModelConfig | Mapping[str, Any],
        file: IO[bytes],
        **extras: Unpack[CallExtras],
    ) -> AsyncInvocation[str, str]:
        """Enqueue now and return the handle."""
        return await self._start(await self.prepare(model_config, file, **extras))
