"""Tells the operator which parameters plugins send that a model does not have."""

from collections.abc import Sequence
from typing import Final

import structlog

MOST: Final = 1000
"""Different findings that are told; whoever makes names up must not fill the memory or the log."""

LONGEST: Final = 100
"""Characters of the names that are told."""

log: Final = structlog.get_logger(__name__)


class IgnoredParameters:
    """Says each finding once in the life of a process."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, str]] = set()

    def note(self, provider: str, model: str, parameters: Sequence[str]) -> None:
        """Log that a model has no such parameters, unless that has been said."""
        if not parameters or len(self._told) >= MOST:
            return
        names = ", ".join(sorted(parameters))[:LONGEST]
        finding = (provider, model, names)
        if finding not in self._told:
            self._told.add(finding)
            log.info("parameters ignored", provider=provider, model=model, parameters=names)
