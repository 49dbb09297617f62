"""Prices: tokens times the prices of the facts, rounded as Dify rounds."""

from decimal import Decimal
from typing import Any

import pytest

from invokeq.protocol.entities import AIModelEntity, LLMUsage, PriceType
from invokeq_providers.models.usage import get_price, usage_from_tokens


def facts(pricing: dict[str, Any] | None) -> AIModelEntity:
    return AIModelEntity.model_validate(
        {"model": "m", "model_type": "llm", "model_properties": {}, "pricing": pricing}
    )


def test_seven_decimals_are_kept() -> None:
    price = get_price(facts({"input": "1", "unit": "0.001", "currency": "EUR"}), PriceType.INPUT, 7)
    assert str(price.total_amount) == "0.0070000"
    assert price.currency == "EUR"


@pytest.mark.parametrize(
    ("unit_price", "total"), [("0.5", "0.0000001"), ("0.4", "0"), ("1.5", "0.0000002")]
)
def test_halves_are_rounded_up(unit_price: str, total: str) -> None:
    pricing = {"input": unit_price, "unit": "0.0000001", "currency": "USD"}
    assert get_price(facts(pricing), PriceType.INPUT, 1).total_amount == Decimal(total)


def test_a_model_without_prices_costs_nothing() -> None:
    usage = usage_from_tokens(facts(None), 3, 4, 0.5)
    free = LLMUsage.empty_usage().model_copy(
        update={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "latency": 0.5}
    )
    assert usage == free


def test_output_is_free_without_its_price() -> None:
    pricing = {"input": "2", "unit": "0.001", "currency": "CNY"}
    usage = usage_from_tokens(facts(pricing), 1000, 1000, 0.0)
    assert usage.prompt_price == usage.total_price == Decimal(2)
    assert usage.completion_price == 0


def test_both_sides_are_summed_in_the_currency_of_the_prompt() -> None:
    pricing = {"input": "2", "output": "6", "unit": "0.000001", "currency": "CNY"}
    usage = usage_from_tokens(facts(pricing), 10, 20, 1.5)
    assert (usage.prompt_price, usage.completion_price) == (Decimal("0.00002"), Decimal("0.00012"))
    assert usage.total_price == Decimal("0.00014")
    assert usage.total_tokens == 30
    assert usage.currency == "CNY"
    assert usage.completion_unit_price == 6
    assert usage.completion_price_unit == Decimal("0.000001")
