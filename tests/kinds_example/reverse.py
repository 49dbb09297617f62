"""The gateway's side: the payload of a plugin's call becomes a call of the session."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from invokeq import AsyncSession


async def translation(
    session: AsyncSession, payload: Mapping[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield one object with the text."""
    fields = {name: str(payload[name]) for name in ("provider", "model", "text", "target")}
    yield {"text": await session.model.of("translation").invoke(**fields)}
