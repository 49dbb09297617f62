"""Adds up what a vendor says that the parts of one call have used."""

import time
from decimal import Decimal

from invokeq.protocol.entities import AIModelEntity
from invokeq.protocol.usage import BillingUnit, UnitUsage
from invokeq_providers.models.usage import usage_of_units


class UsageAccumulator:
    """One call's account; `record_usage` is for the provider, `usage` for the caller."""

    def __init__(self, facts: AIModelEntity) -> None:
        self._facts = facts
        self._began = time.monotonic()
        self._amount = Decimal(0)
        self._unit: BillingUnit | None = None

    def record_usage(self, amount: float | Decimal, unit: BillingUnit) -> None:
        """Add an amount; the parts of a call are billed by one unit."""
        self._amount += Decimal(str(amount))
        self._unit = unit

    @property
    def usage(self) -> UnitUsage | None:
        """What the call has used by now, priced; None where the vendor says nothing."""
        if self._unit is None:
            return None
        latency = time.monotonic() - self._began
        return usage_of_units(self._facts, self._amount, self._unit, latency)
