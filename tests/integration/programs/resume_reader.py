"""Reads an answer and prints what it has taken; a process of its own, so that it can be killed."""

import sys

from invokeq import Session
from tests.integration.conftest import stream_config, user


def main(url: str, chunks: int) -> None:
    """Print the request id, then for each chunk the id of its event and its index."""
    with Session("acme", redis=url) as session:
        invocation = session.model.llm.submit(stream_config(chunks=chunks, rate=200), user("x"))
        sys.stdout.write(f"{invocation.request_id}\n")
        for chunk in invocation:
            sys.stdout.write(f"{invocation.last_id} {chunk.delta.index}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
