"""The loop-free base of `Session` and `AsyncSession`.

Internal: may change without notice.
"""

from abc import ABC, abstractmethod
from copy import copy
from typing import Any, Generic, NamedTuple, Self, TypeVar

from invokeq.operations.directory import Directory
from invokeq.operations.options import (
    MAX_FILE_BYTES,
    MAX_REQUEST_BYTES,
    ORPHAN_TIMEOUT,
    PICKUP_TIMEOUT,
    SessionOptions,
)
from invokeq.operations.reader import Reader, attached_reader
from invokeq.protocol.kinds import find_kind, resolve
from invokeq.protocol.requests import CallRequest
from invokeq.results.decode import ANY, ResultDecoder
from invokeq.transport.blocking import BaseTransport

TransportT = TypeVar("TransportT", bound=BaseTransport)
ModelsT = TypeVar("ModelsT")


class SessionParts(NamedTuple, Generic[TransportT]):
    """The parts behind the calls of a session, in the order of the classes' parameters."""

    transport: TransportT
    directory: Directory
    options: SessionOptions


class BaseSession(ABC, Generic[TransportT, ModelsT]):
    """The loop-free part of a session: the options, and the sender of calls."""

    model: ModelsT

    def __init__(
        self,
        plugin_id: str,
        tenant_id: str | None = None,
        user_id: str | None = None,
        *,
        redis: str | None = None,
        pickup_timeout: float = PICKUP_TIMEOUT,
        orphan_timeout: float = ORPHAN_TIMEOUT,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        options = SessionOptions(
            plugin_id=plugin_id,
            tenant_id=tenant_id,
            user_id=user_id,
            pickup_timeout=pickup_timeout,
            orphan_timeout=orphan_timeout,
            max_request_bytes=max_request_bytes,
            max_file_bytes=max_file_bytes,
        )
        self._parts = SessionParts(self._open_transport(redis), self._new_directory(), options)
        self.model = self._new_models(self._parts)

    def __repr__(self) -> str:
        options = self._parts.options
        # The public address has neither user nor password.
        return (
            f"{type(self).__name__}({options.plugin_id!r}, tenant_id={options.tenant_id!r},"
            f" user_id={options.user_id!r}, redis={self._parts.transport.address!r})"
        )

    def on_behalf_of(
        self, plugin_id: str, tenant_id: str | None = None, user_id: str | None = None
    ) -> Self:
        """Return a session of another sender, over the same connections and in the same lane.

        For programs with many plugins. Workers accept another sender only from plugins trusted by
        the operator; all other calls fail with PermissionDeniedError. Close the first session, not
        the returned one.
        """
        # A shallow copy, so that the two share connections and the directory's cache.
        other = copy(self)
        options = self._parts.options.on_behalf_of(plugin_id, tenant_id, user_id)
        other._parts = self._parts._replace(options=options)
        other.model = other._new_models(other._parts)
        return other

    def speaking_for(
        self, plugin_id: str, tenant_id: str | None = None, user_id: str | None = None
    ) -> Self:
        """Return `on_behalf_of(...)`; an alias, kept for programs with the older name."""
        return self.on_behalf_of(plugin_id, tenant_id, user_id)

    @abstractmethod
    def _open_transport(self, redis: str | None) -> TransportT:
        """Return the transport for a URL, without connecting."""

    @abstractmethod
    def _new_models(self, parts: SessionParts[TransportT]) -> ModelsT:
        """Return the calls of the session: `session.model`."""

    def _new_directory(self) -> Directory:
        return Directory()

    def _attached(
        self, request_id: str, after: str | None, request: CallRequest | None
    ) -> tuple[Reader, ResultDecoder[Any, Any]]:
        """Return the reader and the decoder of an invocation of another session."""
        reader = attached_reader(self._parts.options, request_id, after)
        kind = None if request is None else find_kind(request.kind)
        return reader, ANY if kind is None else resolve(kind.decoder_ref)(request)


def parts_of(session: BaseSession[TransportT, Any]) -> SessionParts[TransportT]:
    """Return the transport, the directory and the options of a session.

    For other modules of the package, to send plans directly.
    """
    return session._parts  # pyright: ignore[reportPrivateUsage]: the one door for this package
