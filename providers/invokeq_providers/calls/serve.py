"""Finds who serves a kind of request."""

from collections.abc import AsyncGenerator

from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.requests import LLMRequest, Request
from invokeq_providers.calls.llm import serve_llm
from invokeq_providers.calls.said import Said, Services


def serve(request: Request, services: Services) -> AsyncGenerator[Said, None]:
    """Answer a request piece by piece; closing the generator closes the connection to the vendor."""
    match request:
        case LLMRequest():
            return serve_llm(request, services)
        case _:
            raise InvalidRequestError(field="kind", problem=f"{request.kind} is not served here")
