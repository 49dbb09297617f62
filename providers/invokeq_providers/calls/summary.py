"""Summaries by the operator's model: pieces side by side, then summaries of the summaries."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final

from invokeq.protocol.entities import AIModelEntity, LLMUsage, ModelType, SummaryResult
from invokeq.protocol.errors import (
    InvalidConfigurationError,
    ModelNotFoundError,
    ProviderNotFoundError,
    UnusableAnswerError,
)
from invokeq.protocol.requests import SummaryRequest
from invokeq_providers.base import Provider
from invokeq_providers.calls.ordered_gather import ordered_gather
from invokeq_providers.calls.outputs import Output, Result, Services
from invokeq_providers.calls.prepare_documents import check_text
from invokeq_providers.calls.prepare_llm import prepare_llm
from invokeq_providers.calls.prepare_summary import plan_budget, summary_request, task_text
from invokeq_providers.calls.token_splitting import Piece, TokenCounter
from invokeq_providers.chat.thinking import without_thinking
from invokeq_providers.options import CONFIG_SOURCE

SIDE_BY_SIDE: Final = 4
"""Pieces of one text that are summarised at once."""

SHRINK: Final = 0.75
"""Each round must leave at most this share of the tokens, else it would go on for too long."""

_SETTING: Final = "[system] summary_model"


async def serve_summary(
    request: SummaryRequest, services: Services
) -> AsyncGenerator[Output, None]:
    """Give the summary; a text that fits the model's context takes one call, never none.

    A longer one is cut between lines, and what is said of its pieces is joined by line breaks and
    summarised again until it fits. Raises `UnusableAnswerError` if the model says nothing, or does
    not make texts shorter.
    """
    began = time.monotonic()
    provider, facts = find_model(services)
    check_text("text", request.text, facts, provider.name)
    summary = _Summary(request.instruction, provider, facts, services)
    text = await summary.of(request.text)
    usage = total_usage(summary.usages, time.monotonic() - began)
    yield Result(SummaryResult(summary=text).model_dump(), usage)


def find_model(services: Services) -> tuple[Provider, AIModelEntity]:
    """Find the model that the operator chose, or raise `InvalidConfigurationError`."""
    provider, slash, model = (services.summary_model or "").partition("/")
    problem = 'names no model; it is to be like "openai/gpt-4o-mini"'
    if provider and slash and model:
        try:
            found = services.provider(provider)
            return found, found.facts(ModelType.LLM, model)
        except (ModelNotFoundError, ProviderNotFoundError) as error:
            problem = str(error)
    raise InvalidConfigurationError(source=CONFIG_SOURCE, setting=_SETTING, problem=problem)


def total_usage(usages: Sequence[LLMUsage], latency: float) -> LLMUsage | None:
    """Add up what several calls of one model used, which took `latency` seconds together."""
    if not usages:
        return None
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


class _Summary:
    """One summary in the making."""

    def __init__(
        self, instruction: str, provider: Provider, facts: AIModelEntity, services: Services
    ) -> None:
        self.usages: list[LLMUsage] = []
        self._instruction = instruction
        self._provider = provider
        self._facts = facts
        self._services = services
        self._counter = TokenCounter(provider, facts.model)

    async def of(self, text: str) -> str:
        """Summarise a text of any length."""
        (task_tokens,) = await self._counter.count([task_text(self._instruction)])
        budget = plan_budget(self._facts, self._provider.name, task_tokens)
        pieces = await self._counter.cut(text, budget.piece)
        while True:
            summaries = await self._side_by_side(pieces, budget.answer)
            joined = "\n".join(summaries)
            if len(pieces) == 1:
                return joined
            before = sum(piece.tokens for piece in pieces)
            pieces = await self._counter.cut(joined, budget.piece)
            after = sum(piece.tokens for piece in pieces)
            if len(pieces) == 1:
                return joined
            if after > before * SHRINK:
                raise self._error(f"{before} tokens of text were summarised as {after} tokens")

    async def _side_by_side(self, pieces: Sequence[Piece], answer: int) -> list[str]:
        jobs = (partial(self._call, piece, answer) for piece in pieces if not piece.text.isspace())
        async with aclosing(ordered_gather(jobs, SIDE_BY_SIDE)) as summaries:
            return [summary async for summary in summaries]

    async def _call(self, piece: Piece, answer: int) -> str:
        """Summarise one piece."""
        request = summary_request(
            self._facts,
            self._provider.name,
            piece.text,
            self._instruction,
            tokens=piece.tokens,
            answer=answer,
        )
        services = self._services
        call = prepare_llm(
            request,
            self._provider,
            request_id=services.request_id,
            user=services.user,
            alive=services.heard,
        )
        texts: list[str] = []
        async with aclosing(self._provider.llm(call)) as chunks:
            async for chunk in chunks:
                services.heard()
                texts.append(chunk.delta.message.get_text_content())
                if chunk.delta.usage is not None:
                    self.usages.append(chunk.delta.usage)
        text = without_thinking("".join(texts)).strip()
        if not text:
            raise self._error("it is empty")
        return text

    def _error(self, problem: str) -> UnusableAnswerError:
        return UnusableAnswerError(
            provider=self._provider.name, model=self._facts.model, problem=problem
        )
