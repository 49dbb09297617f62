"""OpenAI's moderation models."""

from collections.abc import Mapping
from typing import Any

from invokeq_providers.base import ModerationCall
from invokeq_providers.openai.api import OpenAIVendor


async def moderate(vendor: OpenAIVendor, call: ModerationCall) -> bool:
    """Return whether the vendor flags the text, in any category."""
    async with vendor.errors.translated(call.model):
        body = {"model": call.model, "input": call.text}
        answer = await vendor.ask("/moderations", body)
    return vendor.errors.read(call.model, _flagged, answer)


def _flagged(answer: Mapping[str, Any]) -> bool:
    flags = [result["flagged"] for result in answer["results"]]
    # No result, or a flag neither true nor false, must not count as "harmless".
    if not flags or not all(isinstance(flag, bool) for flag in flags):
        raise ValueError("it does not say whether the text is flagged")
    return any(flags)
