"""Every error that invokeq raises; the tree is drawn in `invokeq.protocol.errors`."""

from invokeq.protocol import errors as _tree
from invokeq.protocol.errors import *  # noqa: F403 - this module is that tree under a short name

__all__ = sorted(  # pyright: ignore[reportUnsupportedDunderAll] - computed so that none is forgotten
    name
    for name, value in vars(_tree).items()
    if isinstance(value, type) and issubclass(value, _tree.InvokeqError)
)
