"""Find the public modules and symbols of packages, from the syntax alone.

- A module is internal if a part of the dotted name begins with `_`, or if the docstring of the
  module, or of a package around the module, has a sentence beginning with "Internal". All other
  modules are public.
- Public symbols are the names defined at the top level of public modules (functions, classes,
  assignments) and the members of public classes (methods, attributes of the class or of `self`),
  except names beginning with `_`.
- A name in `__all__` of a public module is public with all members, even if defined in an internal
  module. Such a symbol has the dotted name of the defining place.

Inherited members, and names that only exist at run time, are not seen.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property


class Surface:
    """The public part of modules, which are given by dotted name."""

    def __init__(self, modules: Mapping[str, ast.Module]) -> None:
        self._modules = modules

    @cached_property
    def public(self) -> frozenset[str]:
        """Return the dotted names of the public modules."""
        return frozenset(name for name in self._modules if not self._internal(name))

    def symbols(self) -> set[str]:
        """Return the dotted names of the public symbols."""
        found: set[str] = set()
        for name in self.public:
            tree = self._modules[name]
            for defined, node in definitions(tree.body):
                if not defined.startswith("_"):
                    found |= members(f"{name}.{defined}", node)
            for exported in _exports(tree):
                found |= self._brought(name, exported)
        return found

    def _internal(self, name: str) -> bool:
        parts = name.split(".")
        around = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
        return any(part.startswith("_") for part in parts) or any(
            declared_internal(self._modules[package])
            for package in around
            if package in self._modules
        )

    def _brought(self, module: str, name: str) -> set[str]:
        """Return the symbols of an internal module behind `name`, as imported by `module`."""
        # A name may be imported over several modules: follow the imports to the definition.
        while module in self._modules:
            tree = self._modules[module]
            own = dict(definitions(tree.body))
            if name in own:
                return set() if module in self.public else members(f"{module}.{name}", own[name])
            sources = dict(_imports(tree))
            if name not in sources:
                return set()
            module, name = sources[name]
        return set()


def declared_internal(tree: ast.Module) -> bool:
    """Return whether a module's docstring has a sentence beginning with "Internal"."""
    text = ast.get_docstring(tree) or ""
    return re.search(r"(\A|[.!?:]\s+|\n\s*\n\s*)Internal\b", text) is not None


def definitions(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """Yield the names defined by statements, also inside `if`, `try` and `with`."""
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node
            case ast.ClassDef(name=name):
                yield name, node
            case ast.Assign(targets=targets):
                yield from ((name, node) for target in targets for name in _names(target))
            case ast.AnnAssign(target=target):
                yield from ((name, node) for name in _names(target))
            case ast.If(body=inner, orelse=other):
                yield from definitions([*inner, *other])
            case ast.Try(body=inner, handlers=handlers, orelse=other):
                caught = [statement for handler in handlers for statement in handler.body]
                yield from definitions([*inner, *caught, *other])
            case ast.With(body=inner):
                yield from definitions(inner)
            case _:
                pass


def members(name: str, node: ast.stmt) -> set[str]:
    """Return the dotted names of a symbol and, for a class, of the public members."""
    found = {name}
    if isinstance(node, ast.ClassDef):
        for member, inner in definitions(node.body):
            if not member.startswith("_"):
                found |= members(f"{name}.{member}", inner)
        # Methods define most attributes of instances, `self.name = ...`, outside of the class body.
        for inner in ast.walk(node):
            match inner:
                case ast.Attribute(value=ast.Name(id="self"), attr=attr, ctx=ast.Store()):
                    if not attr.startswith("_"):
                        found.add(f"{name}.{attr}")
                case _:
                    pass
    return found


def _names(target: ast.expr) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _exports(tree: ast.Module) -> Iterator[str]:
    for name, node in definitions(tree.body):
        if name == "__all__" and isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            for item in ast.walk(node.value):
                if isinstance(item, ast.Constant) and isinstance(item.value, str):
                    yield item.value


def _imports(tree: ast.Module) -> Iterator[tuple[str, tuple[str, str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, (node.module, alias.name)
