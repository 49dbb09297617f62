"""The plugins of a run: the main plugin, other plugins, siblings, and the tools of all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from invokeq.dify.platform.declarations import (
    Declarations,
    Parameter,
    Strategy,
    Tool,
    read_declarations,
)
from invokeq.dify.platform.parameters import ALL_TOOLS
from invokeq.dify.plugins import PluginPackage, load_package
from invokeq.protocol.errors import ConfigurationError, InvalidRequestError

MANIFEST: Final = "manifest.yaml"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin's package and declarations; `named` if the user named the plugin."""

    package: PluginPackage
    declarations: Declarations
    named: bool = True

    @property
    def id(self) -> str:
        """Return author/name, which is also the name of the plugin's lanes."""
        return self.package.id

    def provider_id(self, provider: str) -> str:
        """Return the full id of a provider of the plugin, in Dify's form."""
        return f"{self.id}/{provider}"

    def tool(self, name: str) -> Tool:
        """Return a tool by name; InvalidRequestError lists the known tools."""
        for tool in self.declarations.tools:
            if tool.name == name:
                return tool
        raise _unknown("tool", name, [tool.name for tool in self.declarations.tools])

    def strategy(self, name: str) -> Strategy:
        """Return an agent strategy by name; InvalidRequestError lists the known strategies."""
        for strategy in self.declarations.strategies:
            if strategy.name == name:
                return strategy
        known = [strategy.name for strategy in self.declarations.strategies]
        raise _unknown("agent strategy", name, known)


def load_plugin(path: Path | str, *, named: bool = True) -> Plugin:
    """Load a plugin's directory or .difypkg file, or raise InvalidConfigurationError."""
    package = load_package(path)
    return Plugin(package, read_declarations(package), named)


@dataclass(slots=True)
class Catalog:
    """Finds tools: in the main plugin, in the plugins named by the user, then in siblings.

    Siblings are the plugins in the same directory as the main plugin.
    """

    main: Plugin
    others: list[Plugin] = field(default_factory=list[Plugin])
    _siblings: list[Plugin] | None = None

    def find(self, provider: str, tool: str) -> tuple[Plugin, Tool]:
        """Return a tool by the provider's name or full id; InvalidRequestError lists all tools.

        Siblings are read only if no other plugin has the tool.
        """
        for plugins in (self._named(), self._beside()):
            for plugin in plugins:
                for known in plugin.declarations.tools:
                    names = (known.provider, plugin.provider_id(known.provider))
                    if known.name == tool and provider in names:
                        return plugin, known
        known = [f"{plugin.provider_id(t.provider)}/{t.name}" for plugin, t in self.tools()]
        raise InvalidRequestError(
            field="tool",
            problem=f"no plugin here has {provider}/{tool}; there are: {', '.join(known) or 'none'}"
            " (--plugin-dir adds more)",
        )

    def tools(self) -> Iterator[tuple[Plugin, Tool]]:
        """Yield the tools of all plugins except the siblings."""
        for plugin in self._named():
            for tool in plugin.declarations.tools:
                yield plugin, tool

    def entities(self, wanted: Sequence[Any] | None) -> list[dict[str, Any]]:
        """Return tools in the form of an agent's parameter.

        An item is `NAME`, `PROVIDER/NAME` or an object; `*` alone stands for all tools. An object
        has `tool`, and may have `provider` and the `parameters` not chosen by the agent.
        """
        if wanted is None or list(wanted) == [ALL_TOOLS]:
            return [tool_entity(plugin, tool, {}) for plugin, tool in self.tools()]
        return [self._entity(item) for item in wanted]

    def _entity(self, item: Any) -> dict[str, Any]:
        if isinstance(item, Mapping):
            spec = cast(Mapping[str, Any], item)
            if "identity" in spec:
                return dict(spec)
            provider, name = str(spec.get("provider") or ""), str(spec.get("tool") or "")
            chosen: dict[str, Any] = spec.get("parameters") or {}
        else:
            provider, _, name = str(item).rpartition("/")
            chosen = {}
        if provider:
            return tool_entity(*self.find(provider, name), chosen)
        for plugin, tool in self.tools():
            if tool.name == name:
                return tool_entity(plugin, tool, chosen)
        raise _unknown("tool", name, [tool.name for _, tool in self.tools()])

    def _named(self) -> list[Plugin]:
        return [self.main, *self.others]

    def _beside(self) -> list[Plugin]:
        if self._siblings is None:
            directory = self.main.package.directory
            known = {plugin.package.directory for plugin in self._named()}
            found = [file.parent for file in sorted(directory.parent.glob(f"*/{MANIFEST}"))]
            self._siblings = [
                plugin for path in found if path not in known for plugin in _if_readable(path)
            ]
        return self._siblings


def tool_entity(plugin: Plugin, tool: Tool, chosen: dict[str, Any]) -> dict[str, Any]:
    """Return a tool in the form of an agent's parameter; `chosen` are form parameters."""
    written = tool.written
    defaults = {
        parameter.name: parameter.default
        for parameter in _form_parameters(tool)
        if parameter.default is not None
    }
    return {
        "identity": {**written["identity"], "provider": plugin.provider_id(tool.provider)},
        "parameters": list(written.get("parameters") or []),
        "description": written["description"],
        "output_schema": written.get("output_schema"),
        "provider_type": "builtin",
        "runtime_parameters": {**defaults, **chosen},
    }


def _form_parameters(tool: Tool) -> list[Parameter]:
    return [p for p in tool.declaration.parameters if p.form != "llm"]


def _if_readable(path: Path) -> Iterator[Plugin]:
    """Yield a sibling unless the sibling is broken: the user has not named the plugin."""
    try:
        yield load_plugin(path, named=False)
    except ConfigurationError:
        return


def _unknown(kind: str, name: str, known: Sequence[str]) -> InvalidRequestError:
    listed = ", ".join(known) or "none"
    return InvalidRequestError(field=kind, problem=f"none is called {name!r}; there are: {listed}")
