"""`session.model.moderation`: Dify's signature and result, over the queue."""

from collections.abc import Mapping
from typing import Any, Unpack

from invokeq.async_invocation import AsyncInvocation
from invokeq.invocation import Invocation
from invokeq.models.calls import AsyncCalls, Calls, Preparing
from invokeq.operations.call import Call
from invokeq.operations.options import CallExtras, call_options
from invokeq.protocol.entities import ModerationModelConfig
from invokeq.requests.speech import build_moderation_request
from invokeq.results.decode import moderation_decoder


class ModerationCalls(Preparing):
    """Checks the arguments of moderation calls."""

    def prepare(
        self,
        model_config: ModerationModelConfig | Mapping[str, Any],
        text: str,
        **extras: Unpack[CallExtras],
    ) -> Call[bool, bool]:
        """Check and return a call, unsent, for `session.submit_many`."""
        options = call_options(**extras)
        request = build_moderation_request(model_config, text)
        return self._call(request, options, moderation_decoder(request))


class Moderation(ModerationCalls, Calls):
    """Judges texts."""

    def invoke(
        self,
        model_config: ModerationModelConfig | Mapping[str, Any],
        text: str,
        **extras: Unpack[CallExtras],
    ) -> bool:
        """Return whether a text is sensitive; a fault is an error, never False."""
        return self._result(self.prepare(model_config, text, **extras))

    def submit(
        self,
        model_config: ModerationModelConfig | Mapping[str, Any],
        text: str,
        **extras: Unpack[CallExtras],
    ) -> Invocation[bool, bool]:
        """Enqueue now and return the handle."""
        return self._start(self.prepare(model_config, text, **extras))


class AsyncModeration(ModerationCalls, AsyncCalls):
    """Judges texts, on asyncio."""

    async def invoke(
        self,
        model_config: ModerationModelConfig | Mapping[str, Any],
        text: str,
        **extras: Unpack[CallExtras],
    ) -> bool:
        """Return whether a text is sensitive; a fault is an error, never False."""
        return await self._result(self.prepare(model_config, text, **extras))

    async def submit(
        self,
        model_config: ModerationModelConfig | Mapping[str, Any],
        text: str,
        **extras: Unpack[CallExtras],
    ) -> AsyncInvocation[bool, bool]:
        """Enqueue now and return the handle."""
        return await self._start(self.prepare(model_config, text, **extras))
