"""What the wheel holds: the three packages with their data, and nothing else."""

import subprocess
import sys
from zipfile import ZipFile

import pytest

from tests.support.paths import ROOT

SOURCES = [ROOT / "client", ROOT / "worker", ROOT / "providers"]
BUILD = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-c", BUILD, str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("invokeq-*.whl")
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_source_and_data_file_is_packed(packed: set[str]) -> None:
    files = {
        path.relative_to(source).as_posix()
        for source in SOURCES
        for path in source.rglob("*")
        if path.suffix in {".lua", ".py", ".toml"} or path.name == "py.typed"
    }
    assert {name for name in packed if ".dist-info/" not in name} >= files


def test_the_packages_are_typed_and_nothing_else_is_packed(packed: set[str]) -> None:
    tops = {name.partition("/")[0] for name in packed if ".dist-info/" not in name}
    assert tops == {"invokeq", "invokeq_worker", "invokeq_providers"}
    assert {f"{top}/py.typed" for top in tops} <= packed
