"""What the models have in common: the key, and the errors a vendor might give."""

from collections.abc import Mapping
from typing import Any

from dify_plugin.errors.model import (
    CredentialsValidateFailedError,
    InvokeAuthorizationError,
    InvokeBadRequestError,
    InvokeConnectionError,
    InvokeError,
    InvokeRateLimitError,
    InvokeServerUnavailableError,
)


class VendorError(Exception):
    """Base of what this vendor raises."""


class TooManyCallsError(VendorError):
    """As if the vendor said 429."""


class BadKeyError(VendorError):
    """As if the vendor said 401."""


class BadRequestError(VendorError):
    """As if the vendor said 400."""


class DownError(VendorError):
    """As if the vendor said 503."""


class UnreachableError(VendorError):
    """As if nobody was there."""


ERROR_MAPPING: dict[type[InvokeError], list[type[Exception]]] = {
    InvokeRateLimitError: [TooManyCallsError],
    InvokeAuthorizationError: [BadKeyError],
    InvokeBadRequestError: [BadRequestError],
    InvokeServerUnavailableError: [DownError],
    InvokeConnectionError: [UnreachableError],
}

_FAULTS: dict[str, type[Exception]] = {
    "rate limit": TooManyCallsError,
    "bad key": BadKeyError,
    "bad request": BadRequestError,
    "down": DownError,
    "unreachable": UnreachableError,
    "odd": KeyError,
}


def check_key(credentials: Mapping[str, Any]) -> None:
    """Refuse a key that is none of this vendor's, quoting it as vendors do."""
    key = str(credentials.get("api_key"))
    if not key.startswith("echo-"):
        raise CredentialsValidateFailedError(f"Incorrect API key provided: {key}")
    if not isinstance(credentials.get("region", "north"), str):
        raise CredentialsValidateFailedError("region must be a string")


def check_call(credentials: dict[str, Any], text: str) -> None:
    """Fail as the text asks for (`fail: rate limit`), and with a key that is not good."""
    if not str(credentials.get("api_key")).startswith("echo-"):
        raise BadKeyError(f"Incorrect API key provided: {credentials.get('api_key')}")
    for name, error in _FAULTS.items():
        if f"fail: {name}" in text:
            raise error(f"{name}, key {credentials['api_key']}")
