"""`session.model.moderation`: Dify's signature and result, over the queue."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from invokeq.async_invocation import AsyncInvocation
from invokeq.core.answers import MODERATION
from invokeq.core.options import call_options
from invokeq.core.speech import build_moderation_request
from invokeq.invocation import Invocation
from invokeq.model.calls import AsyncCalls, Calls
from invokeq.protocol.entities import ModerationModelConfig
from invokeq.protocol.requests import Priority


class Moderation(Calls):
    """Judges texts."""

    def invoke(
        self,
        model_config: ModerationModelConfig | Mapping[str, Any],
        text: str,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> bool:
        """Tell whether a text is sensitive; a fault is an error, never False."""
        prepared = self._prepare(build_moderation_request(model_config, text))
        call = call_options(request_id, deadline, priority, detached)
        return self._result(prepared, call, MODERATION)

    def submit(
        self,
        model_config: ModerationModelConfig | Mapping[str, Any],
        text: str,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Invocation[bool, bool]:
        """Enqueue now and give the handle."""
        prepared = self._prepare(build_moderation_request(model_config, text))
        call = call_options(request_id, deadline, priority, detached)
        return self._start(prepared, call, MODERATION)


class AsyncModeration(AsyncCalls):
    """Judges texts, on asyncio."""

    async def invoke(
        self,
        model_config: ModerationModelConfig | Mapping[str, Any],
        text: str,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> bool:
        """Tell whether a text is sensitive; a fault is an error, never False."""
        prepared = self._prepare(build_moderation_request(model_config, text))
        call = call_options(request_id, deadline, priority, detached)
        return await self._result(prepared, call, MODERATION)

    async def submit(
        self,
        model_config: ModerationModelConfig | Mapping[str, Any],
        text: str,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> AsyncInvocation[bool, bool]:
        """Enqueue now and give the handle."""
        prepared = self._prepare(build_moderation_request(model_config, text))
        call = call_options(request_id, deadline, priority, detached)
        return await self._start(prepared, call, MODERATION)
