"""The HTTP client under the SDKs built on httpx2."""

import importlib.util

import httpx2

from invokeq_providers.http.vendor import MAX_CONNECTIONS, MAX_IDLE_CONNECTIONS, WRITE_TIMEOUT_S


def has_aiohttp() -> bool:
    """Return whether aiohttp is installed; aiohttp takes half the CPU of httpx a chunk."""
    return importlib.util.find_spec("aiohttp") is not None


def new_http_client(
    aio: type[httpx2.AsyncClient],
    plain: type[httpx2.AsyncClient],
    connect_timeout: float,
    read_timeout: float,
) -> httpx2.AsyncClient:
    """Return the faster of an SDK's clients.

    Timeouts are in seconds. `read_timeout` bounds one read of the socket, not the whole answer.
    """
    limits = httpx2.Limits(
        max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_IDLE_CONNECTIONS
    )
    # `pool=None`: the worker bounds concurrency, so a wait for a connection must not fail.
    timeout = httpx2.Timeout(
        connect=connect_timeout, read=read_timeout, write=WRITE_TIMEOUT_S, pool=None
    )
    return (aio if has_aiohttp() else plain)(limits=limits, timeout=timeout)


def lost_before_answer(error: Exception) -> bool:
    """Return whether an open connection was lost before the first byte of an answer.

    A server may close a kept connection while a request is on the way. llama.cpp's server, for
    one, closes the connection after every stream, though the headers promise to keep the
    connection. The server may have read the request all the same.
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
