"""What a call costs: tokens times the prices among the facts of the model."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from invokeq.protocol.entities import (
    AIModelEntity,
    LLMUsage,
    PriceInfo,
    PriceType,
)
from invokeq.protocol.usage import BillingUnit, UnitUsage

_STEP: Final = Decimal("0.0000001")  # Dify rounds every amount to 7 decimals
_NOTHING: Final = Decimal("0.0")
_FREE: Final = PriceInfo(unit_price=_NOTHING, unit=_NOTHING, total_amount=_NOTHING, currency="USD")


def get_price(facts: AIModelEntity, price_type: PriceType, tokens: int | Decimal) -> PriceInfo:
    """Price the tokens of one side of a call, or what else is billed; without a price 0 USD."""
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
    """Build the usage of a call that is billed by `unit`, as the prices of such a model are."""
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
    """Build the usage of a call; `latency` is in seconds, the currency is that of the prompt."""
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
