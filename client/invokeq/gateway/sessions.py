"""The open sessions of plugin processes: a session id stands for a plugin, a tenant and a user.

Sessions are stored in Redis with a TTL, shared by all gateways on one server. A session id
is a secret: every holder may make calls in the name of the session's plugin.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from invokeq.async_session import AsyncSession
from invokeq.gateway.settings import MAX_SESSION_TTL
from invokeq.operations.plan import Plan
from invokeq.protocol.codec import first_problem
from invokeq.protocol.errors import InvalidRequestError, ProtocolError, UnknownSessionError
from invokeq.protocol.redis.keys import check_name, plugin_session
from invokeq.transport.aio import AsyncTransport
from invokeq.transport.batch import Batch

SHORTEST_ID: Final = 16
"""Characters; a shorter session id could be guessed."""

LONGEST_ID: Final = 200


class GatewaySession(BaseModel):
    """The plugin, tenant and user behind calls."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    plugin_id: str
    tenant_id: str | None = None
    user_id: str | None = None

    def session_of(self, gateway: AsyncSession) -> AsyncSession:
        """Return a session of this sender over the gateway's connections."""
        return gateway.on_behalf_of(self.plugin_id, self.tenant_id, self.user_id)

    def log_fields(self) -> dict[str, str | None]:
        """Return the fields of a log event."""
        return {"plugin": self.plugin_id, "tenant": self.tenant_id, "user": self.user_id}


class SessionOpening(GatewaySession):
    """The body of `POST /sessions`; `ttl` is in seconds."""

    session_id: str | None = Field(default=None, pattern=r"^[!-~]+$")
    ttl: int | None = Field(default=None, ge=1, le=MAX_SESSION_TTL)

    def sender(self) -> GatewaySession:
        """Return the session to store."""
        return GatewaySession(
            plugin_id=self.plugin_id, tenant_id=self.tenant_id, user_id=self.user_id
        )


@dataclass(frozen=True, slots=True)
class SessionStore:
    """Opens, finds and closes sessions over the gateway's own connections."""

    transport: AsyncTransport

    async def open(self, opening: SessionOpening, ttl: int) -> str:
        """Open a session for `ttl` seconds and return the id. One round trip."""
        return await self.transport.run(open_session(opening, ttl))

    async def find(self, session_id: str) -> GatewaySession:
        """Return an open session, or raise UnknownSessionError. One round trip."""
        return await self.transport.run(find_session(session_id))

    async def close(self, session_id: str) -> bool:
        """Close a session and return whether the session was open. One round trip."""
        return await self.transport.run(close_session(session_id))


def parse_opening(body: Mapping[str, Any]) -> SessionOpening:
    """Check the body of `POST /sessions`; InvalidRequestError names a wrong field."""
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
    """Store a session for `ttl` seconds and return the id, which may be open already."""
    session_id = opening.session_id or secrets.token_hex(16)
    value = orjson.dumps(opening.sender().model_dump())
    yield Batch([("SET", _key(session_id), value, "EX", ttl)])
    return session_id


def find_session(session_id: str) -> Plan[GatewaySession]:
    """Return an open session, or raise UnknownSessionError."""
    (value,) = yield Batch([("GET", _key(session_id))])
    if value is None:
        raise UnknownSessionError(problem="it was never opened here, was closed, or has expired")
    try:
        return GatewaySession.model_validate_json(value)
    except ValidationError as error:
        raise ProtocolError(where="session", problem=first_problem(error)[1]) from None


def close_session(session_id: str) -> Plan[bool]:
    """Delete a session and return whether the session was open; running calls continue."""
    (deleted,) = yield Batch([("DEL", _key(session_id))])
    return bool(deleted)


def _key(session_id: str) -> str:
    # A hash, so that a reader of Redis keys learns no session id.
    return plugin_session(hashlib.sha256(session_id.encode()).hexdigest())
