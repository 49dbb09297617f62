"""The cost of a call: tokens times the prices in the facts of the model."""

import time
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from invokeq.protocol.entities import (
    AIModelEntity,
    EmbeddingUsage,
    LLMUsage,
    PriceInfo,
    PriceType,
)
from invokeq.protocol.usage import BillingUnit, UnitUsage

_STEP: Final = Decimal("0.0000001")  # Dify rounds every amount to 7 decimals
_NOTHING: Final = Decimal("0.0")
_FREE: Final = PriceInfo(unit_price=_NOTHING, unit=_NOTHING, total_amount=_NOTHING, currency="USD")


def get_price(facts: AIModelEntity, price_type: PriceType, tokens: int | Decimal) -> PriceInfo:
    """Return the price of input or output tokens, or of other billed units.

    A model without a price costs 0 USD. Amounts have 7 decimals, rounded half up, as in Dify.
    """
    pricing = facts.pricing
    if pricing is None:
        return _FREE
    unit_price = pricing.input if price_type is PriceType.INPUT else pricing.output
    if unit_price is None:
        return _FREE
    total = (tokens * unit_price * pricing.unit).quantize(_STEP, rounding=ROUND_HALF_UP)
    return PriceInfo(
        unit_price=unit_price, unit=pricing.unit, total_amount=total, currency=pricing.currency
    )


def usage_of_units(
    facts: AIModelEntity, amount: Decimal, unit: BillingUnit, latency: float
) -> UnitUsage:
    """Return the usage of a call billed by `unit`, the unit of the model's prices.

    `latency` is in seconds.
    """
    price = get_price(facts, PriceType.INPUT, amount)
    return UnitUsage(
        unit=unit,
        amount=amount,
        unit_price=price.unit_price,
        price_unit=price.unit,
        total_price=price.total_amount,
        currency=price.currency,
        latency=latency,
    )


def usage_from_tokens(
    facts: AIModelEntity, prompt_tokens: int, completion_tokens: int, latency: float
) -> LLMUsage:
    """Return the usage of an LLM call; `latency` is in seconds, the currency is the prompt's."""
    prompt = get_price(facts, PriceType.INPUT, prompt_tokens)
    completion = get_price(facts, PriceType.OUTPUT, completion_tokens)
    return LLMUsage(
        prompt_tokens=prompt_tokens,
        prompt_unit_price=prompt.unit_price,
        prompt_price_unit=prompt.unit,
        prompt_price=prompt.total_amount,
        completion_tokens=completion_tokens,
        completion_unit_price=completion.unit_price,
        completion_price_unit=completion.unit,
        completion_price=completion.total_amount,
        total_tokens=prompt_tokens + completion_tokens,
        total_price=prompt.total_amount + completion.total_amount,
        currency=prompt.currency,
        latency=latency,
    )


def embedding_usage(facts: AIModelEntity, tokens: int, latency: float) -> EmbeddingUsage:
    """Return the usage of an embedding call; `latency` is in seconds."""
    price = get_price(facts, PriceType.INPUT, tokens)
    return EmbeddingUsage(
        tokens=tokens,
        total_tokens=tokens,
        unit_price=price.unit_price,
        price_unit=price.unit,
        total_price=price.total_amount,
        currency=price.currency,
        latency=latency,
    )


def total_usage(usages: Sequence[LLMUsage], latency: float) -> LLMUsage | None:
    """Return the sum of the usages of one model's calls, None for no calls.

    `latency` is in seconds, for all calls together.
    """
    if not usages:
        return None
    # One model has one price list, so unit prices and currency are equal in all usages.
    return usages[-1].model_copy(
        update={
            "prompt_tokens": sum(usage.prompt_tokens for usage in usages),
            "prompt_price": sum(usage.prompt_price for usage in usages),
            "completion_tokens": sum(usage.completion_tokens for usage in usages),
            "completion_price": sum(usage.completion_price for usage in usages),
            "total_tokens": sum(usage.total_tokens for usage in usages),
            "total_price": sum(usage.total_price for usage in usages),
            "latency": latency,
        }
    )


class UsageAccumulator:
    """Sum of one call's usage; the provider calls `record_usage`, the caller reads `usage`."""

    def __init__(self, facts: AIModelEntity) -> None:
        self._facts = facts
        self._began = time.monotonic()
        self._amount = Decimal(0)
        self._unit: BillingUnit | None = None

    def record_usage(self, amount: float | Decimal, unit: BillingUnit) -> None:
        """Add an amount; all parts of one call have the same unit."""
        # By way of text: Decimal(0.1) has 55 digits, and amounts must add up exactly.
        self._amount += Decimal(str(amount))
        self._unit = unit

    @property
    def usage(self) -> UnitUsage | None:
        """Return the priced usage so far; None while the vendor has reported no usage."""
        if self._unit is None:
            return None
        latency = time.monotonic() - self._began
        return usage_of_units(self._facts, self._amount, self._unit, latency)
