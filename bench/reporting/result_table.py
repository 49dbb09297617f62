"""The results: rows of values with median and quartiles, and whether a goal was met."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

OURS = "invokeq"

Bound = Literal["<=", ">="]


@dataclass(slots=True)
class Row:
    """One figure of one subject; `values` has one value a round or a sample."""

    measure: str
    subject: str
    figure: str
    unit: str
    values: list[float] = field(default_factory=list[float])
    goal: str = ""
    met: bool | None = None
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third quartile; of fewer than four values the extremes."""
        if len(self.values) < 4:  # noqa: PLR2004 - fewer have no quartiles
            return min(self.values), max(self.values)
        first, _, third = statistics.quantiles(self.values, n=4)
        return first, third

    def as_json(self) -> dict[str, Any]:
        low, high = self.quartiles if self.values else (None, None)
        return {
            "measure": self.measure,
            "subject": self.subject,
            "figure": self.figure,
            "unit": self.unit,
            "median": self.median if self.values else None,
            "q1": low,
            "q3": high,
            "values": [float(f"{value:.6g}") for value in self.values],
            "goal": self.goal,
            "met": self.met,
            "note": self.note,
        }


class ResultTable:
    """All rows of a run, in the order of their first values."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str], Row] = {}
        self.remarks: list[tuple[str, str]] = []

    def add(self, measure: str, figure: str, unit: str, *values: float, of: str = OURS) -> Row:
        """Append values to a row; return the row."""
        row = self._rows.setdefault((measure, of, figure), Row(measure, of, figure, unit))
        row.values += values
        return row

    def dash(self, measure: str, figure: str, unit: str, why: str, *, of: str = OURS) -> None:
        """Record that a figure could not be measured, with the reason."""
        row = self._rows.setdefault((measure, of, figure), Row(measure, of, figure, unit))
        row.note = why

    def remark(self, measure: str, text: str) -> None:
        """Record a problem of a measure."""
        self.remarks.append((measure, text))

    def find(self, measure: str, figure: str, of: str = OURS) -> Row | None:
        """Return a row with values, or None."""
        row = self._rows.get((measure, of, figure))
        return row if row and row.values else None

    def rows(self) -> Sequence[Row]:
        return list(self._rows.values())

    def best_peer(self, measure: str, figure: str, *, most: bool) -> Row | None:
        """Return the row of the best peer, by the highest (`most`) or lowest median."""
        rows = [
            row
            for row in self._rows.values()
            if row.measure == measure
            and row.figure == figure
            and row.subject != OURS
            and row.values
        ]
        pick = max if most else min
        return pick(rows, key=lambda row: row.median) if rows else None

    def goal(self, measure: str, figure: str, bound: Bound, value: float) -> None:
        """Set the goal for the median of a figure of invokeq."""
        row = self.find(measure, figure)
        if row is not None:
            row.goal = f"{bound} {value:g}"
            row.met = row.median <= value if bound == "<=" else row.median >= value
