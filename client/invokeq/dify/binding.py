"""Binds the real `dify_plugin` SDK to invokeq: `session.model` calls go through the queue.

Every call of `session.model` accepts and returns the SDK's own classes. Laziness, order, loss,
duplication and errors are as with `invokeq.Session`.

Importing the module imports `dify_plugin`, which patches sockets, threads and standard streams of
the whole process with gevent. Let `import dify_plugin` be the first import of the program: locks
and subclasses of sockets from earlier imports stay unpatched.
"""

import contextlib
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from invokeq.protocol.codec import first_problem
from invokeq.protocol.errors import InvalidConfigurationError, MissingExtraError
from invokeq.session import Session

try:
    from dify_plugin import DifyPluginEnv, Tool
    from dify_plugin.core.plugin_registration import PluginRegistration
    from dify_plugin.core.runtime import Session as DifySession
    from dify_plugin.core.server.stdio.request_reader import StdioRequestReader
    from dify_plugin.core.server.stdio.response_writer import StdioResponseWriter
    from dify_plugin.entities.tool import ToolRuntime

    from invokeq.dify.bound_model import BoundModels
except ModuleNotFoundError as error:
    if error.name != "dify_plugin":
        raise
    raise MissingExtraError(feature="invokeq.dify", package="dify_plugin", extra="dify") from error


def bind(session: Session, dify_session: DifySession | None = None) -> DifySession:
    """Return a session of the SDK whose `model` is served by `session`.

    Returns `dify_session` with its `model` replaced, or a new session. A new session has no Dify
    behind it: `tool`, `app`, `storage` and so on fail as in the SDK without a daemon.
    """
    bound = _lone_session() if dify_session is None else dify_session
    # Not a subclass of the SDK's class, whose constructor builds calls of its own.
    models: Any = BoundModels(session)
    bound.model = models
    return bound


@dataclass(frozen=True, slots=True)
class LoadedTool:
    """One tool of a plugin: the declaration from YAML and the class from Python source.

    `declaration` is an SDK ToolConfiguration, a class hidden from type checkers by a decorator.
    """

    declaration: Any
    tool_class: type[Tool]

    def open(self, session: DifySession, credentials: Mapping[str, Any] | None = None) -> Tool:
        """Return the tool, bound to `session`, usually a session from `bind`."""
        runtime = ToolRuntime(credentials=dict(credentials or {}), user_id=None, session_id=None)
        return self.tool_class(runtime=runtime, session=session)


def load_tool(plugin: Path | str, name: str) -> LoadedTool:
    """Load the tool `name` from the directory of a plugin, which the SDK reads and checks.

    As under Dify, the directory comes first in `sys.path` and stays there: one plugin a process.
    The working directory is changed during the load. Raises InvalidConfigurationError for a
    directory without a plugin or without the tool, and every exception of the plugin's modules.
    """
    directory = Path(plugin).resolve()
    source = str(directory / "manifest.yaml")
    if not (directory / "manifest.yaml").is_file():
        raise InvalidConfigurationError(source=source, setting="file", problem="does not exist")
    # First, and for good: modules of the plugin may import their neighbours much later.
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    try:
        # The SDK reads every path of the manifest relative to the working directory.
        with contextlib.chdir(directory):
            registration = PluginRegistration(DifyPluginEnv())
    except (ValueError, OSError) as error:
        problem = _first_line(error)
        raise InvalidConfigurationError(source=source, setting="plugin", problem=problem) from error
    providers = cast(Mapping[str, Any], registration.tools_mapping)
    tools = {
        known: LoadedTool(*loaded)
        for _, _, provided in providers.values()
        for known, loaded in provided.items()
    }
    if name not in tools:
        problem = f"no tool is called {name!r}; there are: {', '.join(sorted(tools)) or 'none'}"
        raise InvalidConfigurationError(source=source, setting="tools", problem=problem)
    return tools[name]


def _lone_session() -> DifySession:
    # Not `empty_session()`: its TCP reader replaces the handler of SIGINT by one that ends the
    # process at once, without any clean-up. Reader and writer do nothing until they are started.
    return DifySession(
        session_id="",
        executor=ThreadPoolExecutor(),
        reader=StdioRequestReader(),
        writer=StdioResponseWriter(),
    )


def _first_line(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        path, problem = first_problem(cause)
        return f"{path}: {problem}"
    return str(error).partition("\n")[0]
