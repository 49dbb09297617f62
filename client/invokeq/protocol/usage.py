"""What a call took of tokens, or of what else its vendor counts, and of money and time."""

from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias

from pydantic import BaseModel

from invokeq.protocol.entities import EmbeddingUsage, LLMUsage


class BillingUnit(StrEnum):
    """What a vendor counts."""

    TOKEN = "token"
    SEARCH = "search"
    SECOND = "second"
    CHARACTER = "character"


class UnitUsage(BaseModel):
    """The amount, the cost and the duration of a call that is neither an LLM's nor an embedding.

    `total_price` is `amount` x `unit_price` x `price_unit`, in `currency`. `latency` is in seconds.
    """

    unit: BillingUnit
    amount: Decimal
    unit_price: Decimal
    price_unit: Decimal
    total_price: Decimal
    currency: str
    latency: float


Usage: TypeAlias = LLMUsage | EmbeddingUsage | UnitUsage
"""An LLM's, a summary's too; that of an embedding; that of any other call."""


def read_usage(told: dict[str, Any]) -> Usage:
    """Read what `model_dump(mode="json")` made of a usage; ValueError if it is none."""
    if "prompt_tokens" in told:
        return LLMUsage.model_validate(told)
    return (UnitUsage if "unit" in told else EmbeddingUsage).model_validate(told)
