"""Serve the calls of Dify's SDK to the platform, for hosts of plugins of your own.

A host reads calls from a transport, asks `serve` for the answer, and tells the plugin of an
error with `error_text` and `error_args`. `SERVED` lists the kinds of call, with the kinds of
installed packages.
"""

from typing import TYPE_CHECKING, Any

from invokeq.dify.reverse import error_args, error_text, serve

if TYPE_CHECKING:
    SERVED: tuple[str, ...]

__all__ = ["SERVED", "error_args", "error_text", "serve"]


def __getattr__(name: str) -> Any:
    """Return `SERVED`, which looks at installed packages and so is computed on first use."""
    if name != "SERVED":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from invokeq.dify.reverse_kinds import served_kinds

    return served_kinds()
