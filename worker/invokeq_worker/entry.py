"""The only function that an invokeq job may name; RQ imports it by its dotted path."""

from typing import Any, NoReturn


def execute(envelope: dict[str, Any]) -> NoReturn:
    """Raise RuntimeError: only invokeq's own worker can stream an invocation.

    A stock RQ worker that takes such a job calls this function, and its job fails with the reason.
    """
    request_id = envelope.get("request_id", "?")
    raise RuntimeError(
        f"Invocation {request_id} was taken by a stock RQ worker. "
        "Run `invokeq worker` on this queue instead"
    )
