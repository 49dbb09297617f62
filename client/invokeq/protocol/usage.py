"""The usage of a call: tokens or other billing units of the vendor, money and time."""

from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias

from pydantic import BaseModel

from invokeq.protocol.entities import EmbeddingUsage, LLMUsage


class BillingUnit(StrEnum):
    """The unit of a vendor's bill."""

    TOKEN = "token"
    SEARCH = "search"
    SECOND = "second"
    CHARACTER = "character"


class UnitUsage(BaseModel):
    """The amount, the cost and the duration of a call, except calls of LLMs and embeddings.

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
"""The usage of an LLM or a summary; of an embedding; of any other call."""


def read_usage(told: dict[str, Any]) -> Usage:
    """Validate a usage from `model_dump(mode="json")`; raise ValueError for another shape."""
    # The JSON has no tag: `prompt_tokens` and `unit` occur in one class each.
    if "prompt_tokens" in told:
        return LLMUsage.model_validate(told)
    return (UnitUsage if "unit" in told else EmbeddingUsage).model_validate(told)
