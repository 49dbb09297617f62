"""Commands over stdin and stdout, one JSON document a line: how the bench drives its clients.

A command is `{"do": <name>, ...arguments}`, its answer `{"ok": <value>}` or `{"error": <text>}`.
"""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

Handler = Callable[..., Coroutine[Any, Any, Any]]


def serve(handlers: Mapping[str, Handler]) -> None:
    """Answer commands until stdin ends; output of libraries goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        for line in sys.stdin:
            arguments = json.loads(line)
            name = arguments.pop("do")
            try:
                value = runner.run(handlers[name](**arguments))
                answers.write(json.dumps({"ok": value}) + "\n")
            except Exception as error:  # noqa: BLE001 - the bench reports the error, and goes on
                traceback.print_exc()
                answers.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
