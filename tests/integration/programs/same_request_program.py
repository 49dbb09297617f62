"""Submit one request id from many threads at once, and print each thread's answer."""

import sys
import threading

from invokeq import Session
from tests.integration.conftest import stream_config, user


def main() -> None:
    url, request_id, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    answers: list[str] = []
    barrier = threading.Barrier(number + 1)

    def ask() -> None:
        with Session("acme", redis=url) as session:
            session.workers()
            barrier.wait()
            config = stream_config(chunks=50, chunk_size=3, rate=200)
            invocation = session.model.llm.submit(config, user("x"), request_id=request_id)
            answers.append(invocation.result().message.get_text_content())

    threads = [threading.Thread(target=ask) for _ in range(number)]
    for thread in threads:
        thread.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()  # all processes begin at once
    barrier.wait()
    for thread in threads:
        thread.join()
    sys.stdout.write("\n".join([*answers, ""]))


main()
