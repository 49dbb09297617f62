"""Call AI models over a Redis queue with Dify's plugin API: `from invokeq import Session`."""

from invokeq.async_invocation import AsyncInvocation
from invokeq.async_session import AsyncSession
from invokeq.invocation import Invocation
from invokeq.operations.call import Call
from invokeq.operations.control import InvocationStatus
from invokeq.operations.history import VendorRetry
from invokeq.protocol.errors import InvokeqError
from invokeq.session import Session

__all__ = [
    "AsyncInvocation",
    "AsyncSession",
    "Call",
    "Invocation",
    "InvocationStatus",
    "InvokeqError",
    "Session",
    "VendorRetry",
]
