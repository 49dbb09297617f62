"""Read streams under gevent's monkey patch; a script, because the patch changes the process."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
import time  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402

from invokeq import Session  # noqa: E402
from invokeq.protocol.entities import UserPromptMessage  # noqa: E402


def main(url: str, count: int) -> None:
    """Read `count` streams side by side from one session; print chunk counts and overlap."""
    with Session("acme", redis=url) as session:
        spans: list[tuple[float, float]] = []

        def read(number: int) -> int:
            config = {
                "provider": "scripted",
                "model": "stream",
                "completion_params": {"chunks": 10, "rate": 20},
            }
            begun = time.monotonic()
            chunks = list(
                session.model.llm.invoke(config, [UserPromptMessage(content=str(number))])
            )
            spans.append((begun, time.monotonic()))
            return len(chunks)

        jobs: list[Any] = [gevent.spawn(read, number) for number in range(count)]
        gevent.joinall(jobs, raise_error=True)
        overlapped = max(begun for begun, _ in spans) < min(ended for _, ended in spans)
        sys.stdout.write(f"{ {job.value for job in jobs} } {overlapped}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
