"""`[redis]`: the address of the broker, checked without opening a connection."""

from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator
from redis import ConnectionPool

from invokeq.protocol.errors import InvalidConfigurationError
from invokeq.protocol.redis.address import parse_address, public_address
from invokeq_worker.config.fields import Seconds, Table

_SCHEMES: Final = ("redis", "rediss", "unix")


class RedisSettings(Table):
    """`[redis]`: the address of the broker; `connect_timeout` in seconds."""

    url: SecretStr = SecretStr("redis://localhost:6379/0")
    connect_timeout: Seconds = 5.0

    @field_validator("url")
    @classmethod
    def _usable(cls, url: SecretStr) -> SecretStr:
        # Messages name parts of the URL, never the whole URL, which may hold a password.
        if "+" in url.get_secret_value().partition("://")[0]:
            _check_connection(url.get_secret_value())
            return url
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in _SCHEMES:
            raise ValueError("must start with redis://, rediss:// or unix://")
        if parts.scheme == "unix" and not parts.path:
            raise ValueError("names no socket; write unix:///path/to/redis.sock")
        if parts.scheme != "unix" and not parts.hostname:
            raise ValueError(f"names no host; write {parts.scheme}://host:6379/0")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("has a port that is not a number from 0 to 65535") from None
        if parts.scheme != "unix" and not (parts.path.strip("/") or "0").isdigit():
            raise ValueError("has a database that is not a number")
        _check_connection(url.get_secret_value())
        return url

    @property
    def url_text(self) -> str:
        """The URL with the password, for connecting; show `address` instead."""
        return self.url.get_secret_value()

    @property
    def address(self) -> str:
        """The URL without user, password and options, for people to read."""
        return public_address(self.url_text)


def _check_connection(url: str) -> None:
    """Raise ValueError for a URL from which no connection can be made; open none."""
    try:
        address = parse_address(url)
        one = address.url_of(address.nodes[0]) if address.nodes else url
        ConnectionPool.from_url(one).make_connection()
    except InvalidConfigurationError as error:
        raise ValueError(error.problem) from None
    except (ValueError, TypeError):
        raise ValueError("has an option after the ? that redis-py does not take") from None
