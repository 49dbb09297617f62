"""Everything of Dify on the caller's side; `bind` puts the real `dify_plugin` SDK on invokeq.

`import invokeq.dify` is cheap and needs no SDK: code on top of the SDK is loaded when `bind`,
`load_tool` or `LoadedTool` is first used. That imports `dify_plugin`, which patches sockets,
threads and standard streams of the whole process with gevent. Let `import dify_plugin` be the first
import of the program: whatever took locks or subclassed sockets before keeps the unpatched ones.
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
