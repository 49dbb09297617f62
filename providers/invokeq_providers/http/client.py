"""The HTTP client under the SDKs that are built on httpx2."""

import importlib.util

import httpx2

from invokeq_providers.http.vendor import MAX_CONNECTIONS, MAX_IDLE_CONNECTIONS, WRITE_TIMEOUT_S


def has_aiohttp() -> bool:
    """Tell whether an SDK can use aiohttp, which takes half the CPU of httpx a chunk."""
    return importlib.util.find_spec("aiohttp") is not None


def new_http_client(
    aio: type[httpx2.AsyncClient],
    plain: type[httpx2.AsyncClient],
    connect_timeout: float,
    read_timeout: float,
) -> httpx2.AsyncClient:
    """Make the better of an SDK's clients; times are in seconds, a read is one of the socket."""
    limits = httpx2.Limits(
        max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_IDLE_CONNECTIONS
    )
    timeout = httpx2.Timeout(
        connect=connect_timeout, read=read_timeout, write=WRITE_TIMEOUT_S, pool=None
    )
    return (aio if has_aiohttp() else plain)(limits=limits, timeout=timeout)


def lost_before_answer(error: Exception) -> bool:
    """Tell whether a connection was there and went away, before a byte of an answer came.

    That is how it ends when the server closes a kept connection while a request is on its way:
    llama.cpp's, for one, closes after every stream a connection that it said it would keep. It may
    have read the request all the same.
    """
    cause: BaseException | None = error.__cause__
    while cause is not None:
        if isinstance(cause, (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)):
            return True
        if isinstance(cause, (ConnectionResetError, BrokenPipeError)):
            return True
        # The SDKs' adapter reports aiohttp's error as a timeout of the connect.
        if type(cause).__name__ == "ServerDisconnectedError":
            return True
        cause = cause.__cause__
    return False
