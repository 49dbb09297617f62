"""What was measured: rows of values with their medians and spread, and whether a goal was met."""

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
        """The first and the third; of few values the extremes."""
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


class Book:
    """All rows of a run, in the order in which they were first written."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str], Row] = {}
        self.remarks: list[tuple[str, str]] = []

    def add(self, measure: str, figure: str, unit: str, *values: float, of: str = OURS) -> Row:
        """Write values down, beside those that are there."""
        row = self._rows.setdefault((measure, of, figure), Row(measure, of, figure, unit))
        row.values += values
        return row

    def dash(self, measure: str, figure: str, unit: str, why: str, *, of: str = OURS) -> None:
        """Say that a figure could not be taken."""
        row = self._rows.setdefault((measure, of, figure), Row(measure, of, figure, unit))
        row.note = why

    def remark(self, measure: str, text: str) -> None:
        """Say what went wrong with a measure."""
        self.remarks.append((measure, text))

    def find(self, measure: str, figure: str, of: str = OURS) -> Row | None:
        """Look a row up; None if it is not there or is a dash."""
        row = self._rows.get((measure, of, figure))
        return row if row and row.values else None

    def rows(self) -> Sequence[Row]:
        return list(self._rows.values())

    def best_peer(self, measure: str, figure: str, *, most: bool) -> Row | None:
        """Give the row of the peer that does best."""
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
        """Set what is to be reached by the median of a figure of ours."""
        row = self.find(measure, figure)
        if row is not None:
            row.goal = f"{bound} {value:g}"
            row.met = row.median <= value if bound == "<=" else row.median >= value
