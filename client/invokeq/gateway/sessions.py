"""The open sessions of plugin processes: for whom a session id speaks.

They are kept in Redis, so that all gateways on one server know them, and end by themselves. A
session id is a secret: whoever has one may call in its name.
"""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from invokeq.gateway.settings import MAX_SESSION_TTL
from invokeq.operations.plan import Plan
from invokeq.protocol.codec import first_problem
from invokeq.protocol.errors import InvalidRequestError, ProtocolError, UnknownSessionError
from invokeq.protocol.redis.keys import check_name, plugin_session
from invokeq.transport.batch import Batch

SHORTEST_ID: Final = 16
"""Characters that a session id has at least; a shorter one could be guessed."""

LONGEST_ID: Final = 200


class GatewaySession(BaseModel):
    """For whom a plugin process speaks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plugin_id: str
    tenant_id: str | None = None
    user_id: str | None = None


class SessionOpening(GatewaySession):
    """The body of `POST /sessions`; `ttl` is in seconds."""

    session_id: str | None = Field(default=None, pattern=r"^[!-~]+$")
    ttl: int | None = Field(default=None, ge=1, le=MAX_SESSION_TTL)

    def sender(self) -> GatewaySession:
        """Give what is kept."""
        return GatewaySession(
            plugin_id=self.plugin_id, tenant_id=self.tenant_id, user_id=self.user_id
        )


def parse_opening(body: Mapping[str, Any]) -> SessionOpening:
    """Check what a session is to be opened with; InvalidRequestError names the field."""
    try:
        opening = SessionOpening.model_validate(body)
    except ValidationError as error:
        field, problem = first_problem(error)
        raise InvalidRequestError(field=field, problem=problem) from None
    check_name("plugin_id", opening.plugin_id)
    size = len(opening.session_id) if opening.session_id is not None else SHORTEST_ID
    if not SHORTEST_ID <= size <= LONGEST_ID:
        problem = f"must have {SHORTEST_ID} to {LONGEST_ID} characters"
        raise InvalidRequestError(field="session_id", problem=problem)
    return opening


def open_session(opening: SessionOpening, ttl: int) -> Plan[str]:
    """Open a session for `ttl` seconds and give its id; one that is open is replaced. One round
    trip."""
    session_id = opening.session_id or secrets.token_hex(16)
    value = orjson.dumps(opening.sender().model_dump())
    yield Batch([("SET", _key(session_id), value, "EX", ttl)])
    return session_id


def find_session(session_id: str) -> Plan[GatewaySession]:
    """Give for whom a session speaks, or raise UnknownSessionError. One round trip."""
    (value,) = yield Batch([("GET", _key(session_id))])
    if value is None:
        raise UnknownSessionError(problem="it was never opened here, was closed, or has expired")
    try:
        return GatewaySession.model_validate_json(value)
    except ValidationError as error:
        raise ProtocolError(where="session", problem=first_problem(error)[1]) from None


def close_session(session_id: str) -> Plan[bool]:
    """Close a session; false if it was not open. What runs in it goes on. One round trip."""
    (deleted,) = yield Batch([("DEL", _key(session_id))])
    return bool(deleted)


def _key(session_id: str) -> str:
    return plugin_session(hashlib.sha256(session_id.encode()).hexdigest())
