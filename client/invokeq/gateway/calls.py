"""Serves one call for either endpoint: JSON objects or an error, and one line in the log."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from invokeq.async_session import AsyncSession
from invokeq.dify.reverse import serve
from invokeq.gateway.logs import log
from invokeq.gateway.sessions import GatewaySession
from invokeq.protocol.errors import InternalError, InvocationCancelledError, InvokeqError

SHUTDOWN: Final = InvocationCancelledError(reason="shutdown")
"""The error at the end of answers cut off by a shutdown."""

Outcome = dict[str, Any] | InvokeqError


@dataclass(frozen=True, slots=True)
class GatewayCall:
    """One reverse invocation of `sender`; `endpoint` names the receiver of the call."""

    endpoint: str
    gateway: AsyncSession
    sender: GatewaySession
    kind: str
    payload: Mapping[str, Any]

    async def outcomes(self) -> AsyncGenerator[Outcome, None]:
        """Yield the JSON objects of the answer; an error comes last, as a value.

        Closing the generator cancels the invocation. Every call ends with one line in the log.
        """
        begin, outcome, request_id, pieces = time.monotonic(), "disconnected", None, 0
        try:
            session = self.sender.session_of(self.gateway)
            async with aclosing(serve(session, self.kind, self.payload)) as answers:
                async for answer in answers:
                    pieces += 1
                    yield answer
            outcome = "done"
        except InvokeqError as error:
            outcome, request_id = error.code, error.request_id
            yield error
        except Exception as error:  # noqa: BLE001 -- logged; the answer names only its class
            log.exception("call failed", endpoint=self.endpoint, kind=self.kind[:40])
            internal = InternalError(detail=f"the gateway failed with {type(error).__name__}")
            outcome = internal.code
            yield internal
        finally:
            log.info(
                "call finished",
                endpoint=self.endpoint,
                kind=self.kind[:40],
                **self.sender.log_fields(),
                outcome=outcome,
                request_id=request_id,
                pieces=pieces,
                ms=round((time.monotonic() - begin) * 1000),
            )
