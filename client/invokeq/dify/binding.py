"""Runs tools written for Dify's plugin SDK: their `session.model` calls go through the queue.

Every call of `session.model` takes and gives the SDK's own classes. Laziness, order, loss and
duplication are those of `invokeq.Session`, and so are the errors.

Importing this module imports `dify_plugin`, which patches sockets, threads and standard streams of
the whole process with gevent. Let `import dify_plugin` be the first import of the program: whatever
took locks or subclassed sockets before it keeps the unpatched ones.
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
    """Give a session of the SDK whose `model` is served by `session`.

    That is `dify_session` itself, with its `model` replaced, or a new one. A new one has no Dify
    behind it: its `tool`, `app`, `storage` and so on refuse as the SDK's do without a daemon.
    """
    bound = _lone_session() if dify_session is None else dify_session
    models: Any = BoundModels(session)  # not a subclass: the SDK's would first build its own calls
    bound.model = models
    return bound


@dataclass(frozen=True, slots=True)
class LoadedTool:
    """One tool of a plugin: what its YAML declares, and the class that its source defines.

    `declaration` is the SDK's ToolConfiguration, whose decorator hides it from type checkers.
    """

    declaration: Any
    tool_class: type[Tool]

    def open(self, session: DifySession, credentials: Mapping[str, Any] | None = None) -> Tool:
        """Make a tool that runs with `session`, most likely one from `bind`."""
        runtime = ToolRuntime(credentials=dict(credentials or {}), user_id=None, session_id=None)
        return self.tool_class(runtime=runtime, session=session)


def load_tool(plugin: Path | str, name: str) -> LoadedTool:
    """Load the tool `name` from the directory of a plugin, which the SDK reads and checks.

    As when Dify runs it, the directory comes first in `sys.path` and stays there: one plugin a
    process. The working directory is changed while it loads. Raises InvalidConfigurationError for a
    directory that is no plugin or has no such tool, and what the plugin's own modules raise.
    """
    directory = Path(plugin).resolve()
    source = str(directory / "manifest.yaml")
    if not (directory / "manifest.yaml").is_file():
        raise InvalidConfigurationError(source=source, setting="file", problem="does not exist")
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    try:
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
    # process at once, without any clean-up. These two do nothing until somebody starts them.
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
