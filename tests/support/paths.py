"""Paths of the checkout: documents, examples, plugins and programs of tests."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
EXAMPLES: Final = ROOT / "examples"
PLUGINS: Final = ROOT / "tests" / "plugins"
PROGRAMS: Final = ROOT / "tests" / "integration" / "programs"
