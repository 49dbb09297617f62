"""Tables for people, without lines, for copying and searching."""

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from invokeq.cli.render.text import one_line

WIDE: Final = 400
"""Width of a table outside of a terminal, enough for any cell."""


def print_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str | None = None,
    right: Collection[str] = (),
) -> None:
    """Print rows under `headers`; columns named in `right` are right-aligned."""
    console = Console(
        width=None if sys.stdout.isatty() else WIDE, markup=False, highlight=False, emoji=False
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header in headers:
        justify = "right" if header in right else "left"
        table.add_column(header, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(one_line(cell) for cell in row))
    if title is not None:
        console.print(title, style="bold underline")
    console.print(table)
