"""How the context of a model is divided between task, text and answer."""

from typing import Any

import pytest

from invokeq.protocol.entities import AIModelEntity
from invokeq.protocol.errors import InvalidRequestError
from invokeq_providers.calls.summary import (
    DEFAULT_CONTEXT_SIZE,
    plan_budget,
    summary_request,
)
from invokeq_providers.calls.token_splitting import estimate_tokens


def facts(*rules: dict[str, Any], **properties: Any) -> AIModelEntity:
    given = {"model": "m", "model_type": "llm", "model_properties": properties}
    return AIModelEntity.model_validate({**given, "parameter_rules": rules})


MAX_TOKENS = {"name": "max_completion_tokens", "use_template": "max_tokens", "max": 100_000}


@pytest.mark.parametrize("context", [512, 2048, 4096, 128_000])
@pytest.mark.parametrize("rules", [(), (MAX_TOKENS,), ({**MAX_TOKENS, "max": 64},)])
def test_task_text_and_answer_fit_and_the_answer_is_shorter(
    context: int, rules: tuple[dict[str, Any], ...]
) -> None:
    budget = plan_budget(facts(*rules, context_size=context), "acme", 60)
    assert budget.piece + budget.answer + 60 <= context
    assert 0 < budget.answer < budget.piece


def test_a_model_that_does_not_tell_its_context_has_a_small_one() -> None:
    assert plan_budget(facts(), "acme", 60).piece < DEFAULT_CONTEXT_SIZE


def test_a_task_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="acme/m has room for") as caught:
        plan_budget(facts(context_size=400), "acme", 60)
    assert caught.value.field == "instruction"


def test_the_number_of_words_follows_the_length_of_the_text() -> None:
    def asked(tokens: int) -> str:
        request = summary_request(facts(), "acme", "t", "", tokens=tokens, answer=9)
        assert request.completion_params == {}
        assert request.stream
        return request.prompt_messages[-1].get_text_content()

    assert "no more than 200 words" in asked(1000)
    assert "no more than 40 words" in asked(10)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("abcd", 2), ("汉字", 4), ("é", 2), ("a🙂", 4)]
)
def test_the_guess_is_rather_high(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens
