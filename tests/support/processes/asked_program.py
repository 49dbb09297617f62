"""A program of its own environment that a test asks, a line of JSON at a time."""

import json
import subprocess
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class AskedProgram:
    """A process that carries operations out; tests add what they need beside it."""

    process: "subprocess.Popen[str]"

    def send(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Have one operation carried out; gives what it raised, too."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"operation": operation, **arguments}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the program has ended; its standard error says why"
        return json.loads(line)

    def ask(self, operation: str, **arguments: Any) -> Any:
        """Have one operation carried out, and give its answer."""
        reply = self.send(operation, **arguments)
        assert "raised" not in reply, reply
        return reply["answer"]
