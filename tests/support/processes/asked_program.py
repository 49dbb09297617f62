"""A program in another environment, driven by one line of JSON for each operation."""

import json
import subprocess
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class AskedProgram:
    """A process for operations; a subclass adds further parts for tests."""

    process: "subprocess.Popen[str]"

    def send(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Execute one operation; return the reply, which may describe an exception."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"operation": operation, **arguments}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the program has ended; its standard error says why"
        return json.loads(line)

    def ask(self, operation: str, **arguments: Any) -> Any:
        """Execute one operation and return the answer; fail if the operation raised."""
        reply = self.send(operation, **arguments)
        assert "raised" not in reply, reply
        return reply["answer"]
