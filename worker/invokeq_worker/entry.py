"""The only function that an invokeq job may name."""

from typing import Any, NoReturn


def execute(envelope: dict[str, Any]) -> NoReturn:
    """Refuse: invokeq's jobs stream and run concurrently, which only invokeq's own worker can
    do."""
    request_id = envelope.get("request_id", "?")
    raise RuntimeError(
        f"Invocation {request_id} was taken by a stock RQ worker. "
        "Run `invokeq worker` on this queue instead"
    )
