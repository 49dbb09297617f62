"""Hold a handle without reading; a separate process that tests can kill."""

import sys

from invokeq import Session
from tests.integration.conftest import stream_config, user


def main(url: str, request_id: str) -> None:
    """Submit a call, and wait for the end of standard input."""
    session = Session("acme", redis=url, orphan_timeout=2)
    config = stream_config(chunks=100_000, rate=50)
    handle = session.model.llm.submit(config, user("x"), request_id=request_id)
    sys.stdin.read()
    handle.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
