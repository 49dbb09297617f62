"""Read an answer and print each chunk; a separate process that tests can kill."""

import sys

from invokeq import Session
from tests.integration.conftest import stream_config, user


def main(url: str, chunks: int) -> None:
    """Print the request id, then the event id and the index of each chunk."""
    with Session("acme", redis=url) as session:
        invocation = session.model.llm.submit(stream_config(chunks=chunks, rate=200), user("x"))
        sys.stdout.write(f"{invocation.request_id}\n")
        for chunk in invocation:
            sys.stdout.write(f"{invocation.last_id} {chunk.delta.index}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
