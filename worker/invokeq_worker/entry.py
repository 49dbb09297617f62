"""The only function that an invokeq job may name; RQ imports the function by name."""

from typing import Any, NoReturn


def execute(envelope: dict[str, Any]) -> NoReturn:
    """Raise RuntimeError: only invokeq's own worker can stream an invocation.

    A stock RQ worker calls the function for such a job, and the job fails with the reason.
    """
    request_id = envelope.get("request_id", "?")
    raise RuntimeError(
        f"Invocation {request_id} was taken by a stock RQ worker. "
        "Run `invokeq worker` on this queue instead"
    )
