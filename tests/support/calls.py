"""Helpers for tests of `invokeq_providers.calls`: services without a worker, and a gate."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from itertools import count
from typing import Any

from invokeq.protocol.requests import CallRequest
from invokeq_providers import Provider, find_provider
from invokeq_providers.calls import Output, Result, Services, serve
from invokeq_providers.scripted import ScriptedProvider, Step

_numbers = count(1)


class Bench:
    """A scripted provider and the services around it; `heard` counts reported activity."""

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        *,
        file: bytes | None = None,
        summary_model: str | None = None,
        provider: Provider | None = None,
    ) -> None:
        self.scripted = ScriptedProvider("scripted", options or {})
        self.heard = 0
        self.services = Services(
            request_id=f"bench-{next(_numbers)}",
            user="tester",
            provider=lambda name: find_provider({"scripted": provider or self.scripted}, name),
            file=file,
            summary_model=summary_model,
            heartbeat=self._hear,
        )

    def _hear(self) -> None:
        self.heard += 1

    async def outputs(self, request: CallRequest) -> list[Output]:
        """Serve a request to the end; return all outputs."""
        async with aclosing(serve(request, self.services)) as pieces:
            return [piece async for piece in pieces]

    async def result(self, request: CallRequest) -> Mapping[str, Any]:
        """Serve a request with one output, a result; return the value."""
        (piece,) = await self.outputs(request)
        assert isinstance(piece, Result)
        return piece.value

    @property
    def events(self) -> list[str]:
        """The events of the scripted vendor."""
        return ScriptedProvider.events(self.services.request_id)

    @property
    def peak(self) -> int:
        """The highest number of concurrent calls."""
        return ScriptedProvider.peak(self.services.request_id)


class Gate:
    """A gate: each call of a scripted provider waits for `let_through(number)`."""

    def __init__(self, provider: ScriptedProvider) -> None:
        self.steps: list[Step] = []
        self._open: dict[int, asyncio.Event] = {}
        self._reached: dict[int, asyncio.Event] = {}
        provider.gate = self._pass

    async def reached(self, number: int) -> None:
        """Wait until a call has reached the gate."""
        await self._event(self._reached, number).wait()

    def let_through(self, *numbers: int) -> None:
        """Let calls pass, now or when each one reaches the gate."""
        for number in numbers:
            self._event(self._open, number).set()

    async def _pass(self, step: Step) -> None:
        self.steps.append(step)
        self._event(self._reached, step.number).set()
        await self._event(self._open, step.number).wait()

    @staticmethod
    def _event(events: dict[int, asyncio.Event], number: int) -> asyncio.Event:
        return events.setdefault(number, asyncio.Event())
