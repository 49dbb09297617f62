"""Serves one call for either door: its objects or its error, and its line in the log."""

import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from invokeq.async_session import AsyncSession
from invokeq.dify.reverse import serve
from invokeq.gateway.logs import log_event, logger
from invokeq.protocol.errors import InternalError, InvocationCancelledError, InvokeqError

SHUTDOWN: Final = InvocationCancelledError(reason="shutdown")
"""What callers are told whose answers the end of the gateway cuts off."""

Outcome = dict[str, Any] | InvokeqError


@dataclass(frozen=True, slots=True)
class GatewayCall:
    """One reverse invocation, with the session of whoever asks; `door` is where it came in."""

    door: str
    session: AsyncSession
    kind: str
    payload: Mapping[str, Any]

    async def outcomes(self) -> AsyncGenerator[Outcome, None]:
        """Give the objects of the answer; an error comes last, as a value.

        Closing this cancels the invocation. Each call is one line in the log when it has ended.
        """
        begin, outcome, request_id, pieces = time.monotonic(), "left", None, 0
        try:
            async with aclosing(serve(self.session, self.kind, self.payload)) as answers:
                async for answer in answers:
                    pieces += 1
                    yield answer
            outcome = "done"
        except InvokeqError as error:
            outcome, request_id = error.code, error.request_id
            yield error
        except Exception as error:  # noqa: BLE001 - told by its class, and logged
            logger.exception("call broke")
            outcome = "broken"
            yield InternalError(detail=f"the gateway failed with {type(error).__name__}")
        finally:
            ms = round((time.monotonic() - begin) * 1000)
            self._log(outcome, request_id=request_id, pieces=pieces, ms=ms)

    def _log(self, outcome: str, **fields: Any) -> None:
        options = self.session.options
        log_event(
            logging.INFO,
            "call",
            door=self.door,
            kind=self.kind[:40],
            plugin=options.plugin_id,
            tenant=options.tenant_id,
            user=options.user_id,
            outcome=outcome,
            **fields,
        )
