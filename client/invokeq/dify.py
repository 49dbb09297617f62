"""Runs tools written for Dify's plugin SDK: their `session.model` calls go through the queue.

`session.model.llm.invoke(...)` takes and gives the SDK's own classes. Laziness, order, loss and
duplication are those of `invokeq.Session`, and so are the errors. A call that is not served raises
UnsupportedCallError at once.

Importing this module imports `dify_plugin`, which patches sockets, threads and standard streams of
the whole process with gevent. Let `import dify_plugin` be the first import of the program: whatever
took locks or subclassed sockets before it keeps the unpatched ones.
"""

import contextlib
import sys
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pydantic import BaseModel, ValidationError

from invokeq.protocol import entities as ours
from invokeq.protocol.codec import first_problem
from invokeq.protocol.errors import InvalidConfigurationError, MissingExtraError, RequestError
from invokeq.session import Session

try:
    from dify_plugin import DifyPluginEnv, Tool
    from dify_plugin.core.plugin_registration import PluginRegistration
    from dify_plugin.core.runtime import Session as DifySession
    from dify_plugin.core.server.stdio.request_reader import StdioRequestReader
    from dify_plugin.core.server.stdio.response_writer import StdioResponseWriter
    from dify_plugin.entities.model.llm import LLMModelConfig, LLMResult, LLMResultChunk
    from dify_plugin.entities.model.message import PromptMessage, PromptMessageTool
    from dify_plugin.entities.tool import ToolRuntime
except ModuleNotFoundError as error:
    if error.name != "dify_plugin":
        raise
    raise MissingExtraError(feature="invokeq.dify", package="dify_plugin", extra="dify") from error

NOT_SERVED: Final = (
    "llm_structured_output",
    "moderation",
    "rerank",
    "speech2text",
    "summary",
    "text_embedding",
    "tts",
)
"""Attributes of `session.model` that are there and refuse every call."""


class UnsupportedCallError(RequestError):
    """`call` belongs to Dify's API and is not served by invokeq."""

    code = "unsupported_call"
    template = "{call} is not served by invokeq yet; session.model.llm is"


def bind(session: Session, dify_session: DifySession | None = None) -> DifySession:
    """Give a session of the SDK whose `model` is served by `session`.

    That is `dify_session` itself, with its `model` replaced, or a new one. A new one has no Dify
    behind it: its `tool`, `app`, `storage` and so on refuse as the SDK's do without a daemon.
    """
    bound = _lone_session() if dify_session is None else dify_session
    models: Any = _Models(session)  # not a subclass: the SDK's would first build its own calls
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


class _Models:
    """What stands in for the SDK's `session.model`."""

    def __init__(self, session: Session) -> None:
        self.llm = _LLM(session)
        for name in NOT_SERVED:
            setattr(self, name, _NotServed(f"session.model.{name}"))


class _LLM:
    """`session.model.llm` with the SDK's signature and classes."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
    ) -> Generator[LLMResultChunk, None, None] | LLMResult:
        """Do what `invokeq.Session` does; dicts are as good as entities in every argument."""
        config, messages, offered = _plain(model_config), _plain(prompt_messages), _plain(tools)
        llm = self._session.model.llm
        if stream:
            return _translated(llm.invoke(config, messages, offered, stop, stream=True))
        result = llm.invoke(config, messages, offered, stop, stream=False)
        return LLMResult.model_validate(result.model_dump(mode="json"))


class _NotServed:
    """A part of `session.model` that says so instead of answering."""

    def __init__(self, path: str) -> None:
        self._path = path

    def invoke(self, *_: Any, **__: Any) -> Any:
        raise UnsupportedCallError(call=f"{self._path}.invoke")

    def invoke_multimodal(self, *_: Any, **__: Any) -> Any:
        raise UnsupportedCallError(call=f"{self._path}.invoke_multimodal")


def _translated(
    chunks: Generator[ours.LLMResultChunk, None, None],
) -> Generator[LLMResultChunk, None, None]:
    """Give our chunks as the SDK's; closing this closes them, which cancels."""
    with contextlib.closing(chunks):
        for chunk in chunks:
            yield LLMResultChunk.model_validate(chunk.model_dump(mode="json"))


def _plain(value: Any) -> Any:
    """Turn entities of the SDK, alone or in a list, into JSON: their enums are not ours."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast(Sequence[Any], value)]
    return value


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
