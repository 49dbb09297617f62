"""Everything of Dify on the caller's side; `bind` puts the real `dify_plugin` SDK on invokeq.

Here live the binding to the SDK, the rules of model-selectors, plugin processes (`plugins`), the
platform of such processes (`platform`), and answers to the calls of plugins (`reverse`). HTTP lives
in `invokeq.gateway`, running plugins as providers of a worker in `invokeq_providers.dify_plugin`.
Public are `bind`, `load_tool` and `LoadedTool`; the folders are internal.

`import invokeq.dify` is cheap and needs no SDK: the first use of a public name loads the SDK.
Importing `dify_plugin` patches sockets, threads and standard streams of the whole process with
gevent. Let `import dify_plugin` be the first import of the program: locks and subclasses of sockets
from earlier imports stay unpatched.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from invokeq.dify.binding import LoadedTool, bind, load_tool

__all__ = ["LoadedTool", "bind", "load_tool"]


def __getattr__(name: str) -> Any:
    """Load the binding to the SDK when one of its names is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from invokeq.dify import binding

    return getattr(binding, name)
