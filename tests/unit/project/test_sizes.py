"""Folders and source files stay small enough to read at one sitting."""

from collections import Counter
from pathlib import Path

from tests.support.paths import ROOT

SOURCES = ("client", "worker", "providers")
FOLDERS = (*SOURCES, "tests", "bench", "scripts", "examples")
MOST_FILES = 14
MOST_LINES = 400
LONG_BY_DESIGN = {
    # One tree of errors, drawn in its docstring.
    "client/invokeq/protocol/errors.py": 550,
}


def python_files(folders: tuple[str, ...]) -> list[Path]:
    return [path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py")]


def test_no_folder_is_crowded() -> None:
    counts = Counter(path.parent for path in python_files(FOLDERS))
    crowded = {str(folder): count for folder, count in counts.items() if count > MOST_FILES}
    assert crowded == {}, "sort the files of this folder by purpose into folders below"


def test_no_source_file_is_long() -> None:
    lines = {
        str(path): len((ROOT / path).read_text().splitlines()) for path in python_files(SOURCES)
    }
    bounds = {path: LONG_BY_DESIGN.get(path, MOST_LINES) for path in lines}
    long = {path: count for path, count in lines.items() if count > bounds[path]}
    assert long == {}, "split this file by its jobs, one noun a module"
