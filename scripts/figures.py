"""Print figures on the shape of a checkout.

    python scripts/figures.py [--root DIR] [--trace] [--json]

`source` is client, worker and providers together. The groups of figures:

- Files: a folder counts if .py files lie directly inside; the number of such files is the fullness.
  Lines are physical lines.
- Public surface: the result of scripts/public_surface.py. Each symbol counts in the defining
  package.
- Docstrings: every string alone as a statement, also below an attribute. Words exclude text in
  backticks. Pronouns are the words of PRONOUNS, also in front of an apostrophe. `begin with ...`
  counts docstrings of functions and methods by the first word.
- Comments: `comment lines` hold only a comment, `comments behind code` share a line with code.
  Code lines are neither blank, comment nor docstring.
- Any: `** of any name` are parameters such as `**kwargs: Any`.
- Words: whole words, in upper or lower case, in identifiers (`close_books` has two words, each use
  counts), docstrings and comments. An inflection counts only if listed.
- One call (`--trace`): the modules in which a function is called; see scripts/trace_call.py.
"""

import argparse
import ast
import io
import json
import keyword
import re
import statistics
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from public_surface import Surface
from trace_call import PACKAGES, package_of, trace

FOLDERS: Final = {**PACKAGES, "tests": "tests"}
PRONOUNS: Final = """
it its itself that what whatever who whom whoever whose somebody someone anybody anyone nobody
everybody something anything nothing they them their this these those
"""
FIRST_WORDS: Final = ("Give", "Tell", "Say", "Return")
WORDS: Final = {
    **{word: (word,) for word in ("say", "said", "tell", "told", "hear", "heard", "ring", "bell")},
    "book(s)": ("book", "books"),
    **{word: (word,) for word in ("emit", "publish", "backpressure", "idempotent", "deduplicate")},
    **{word: (word,) for word in ("redeliver", "multiplex", "coalesce", "flush", "finalize")},
}
NO_CODE: Final = frozenset(
    {
        tokenize.COMMENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
        tokenize.INDENT,
        tokenize.NEWLINE,
        tokenize.NL,
    }
)

Function = ast.FunctionDef | ast.AsyncFunctionDef
Cell = int | float | str
Row = tuple[str, Mapping[str, Cell]]
"""A figure's name, and the value in each column with one."""


@dataclass(frozen=True)
class Module:
    """One .py file; `name` is the dotted name."""

    path: Path
    name: str

    @cached_property
    def text(self) -> str:
        """Return the source."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Return the syntax tree."""
        return ast.parse(self.text, str(self.path))

    @cached_property
    def tokens(self) -> list[tokenize.TokenInfo]:
        """Return the tokens, comments included."""
        return list(tokenize.generate_tokens(io.StringIO(self.text).readline))

    @cached_property
    def docstrings(self) -> list[ast.Constant]:
        """Return the strings that are statements by themselves."""
        return [
            node.value
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ]

    @property
    def functions(self) -> Iterator[Function]:
        """Return the functions and methods, nested ones included."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


def load(root: Path) -> list[Module]:
    """Return the modules under a folder; each dotted name begins with the folder's name."""
    modules: list[Module] = []
    for path in sorted(root.rglob("*.py")):
        inner = path.relative_to(root)
        if not any(part.startswith(".") or part == "__pycache__" for part in inner.parts):
            parts = [root.name, *inner.with_suffix("").parts]
            name = ".".join(parts).removesuffix(".__init__")
            modules.append(Module(path, name))
    return modules


def file_figures(modules: Sequence[Module]) -> dict[str, Cell]:
    """Count files, folders and lines."""
    folders = Counter(module.path.parent for module in modules)
    fullest, files = folders.most_common(1)[0]
    lines = {module.path: module.text.count("\n") for module in modules}
    longest = max(lines, key=lines.__getitem__)
    return {
        "files": len(modules),
        "folders": len(folders),
        "most files in a folder": files,
        "... which is": fullest.name,
        "lines": sum(lines.values()),
        "most lines in a file": lines[longest],
        "... namely in": longest.name,
        "median lines of a file": round(statistics.median(lines.values())),
    }


def surface_rows(groups: Mapping[str, Sequence[Module]]) -> list[Row]:
    """Count public modules and symbols."""
    packages = {Path(folder).name: column for column, folder in PACKAGES.items()}
    trees = {module.name: module.tree for column in PACKAGES for module in groups[column]}
    surface = Surface(trees)
    rows: list[Row] = []
    for label, names in (
        ("public modules", surface.public),
        ("internal modules", trees.keys() - surface.public),
        ("public symbols", surface.symbols()),
    ):
        counts = Counter(packages[name.split(".")[0]] for name in names)
        rows.append((label, {**{c: counts[c] for c in PACKAGES}, "source": len(names)}))
    return rows


def prose_figures(modules: Sequence[Module]) -> dict[str, Cell]:
    """Count the words of docstrings, and the first words of functions' docstrings."""
    # Quoted names in backticks are dropped first: `that_flag` is code, and no pronoun.
    texts = [str(node.value) for module in modules for node in module.docstrings]
    words = [
        word.lower().partition("'")[0]
        for text in texts
        for word in re.findall(r"[A-Za-z]+(?:'[A-Za-z]+)*", re.sub(r"`+[^`]*`+", " ", text))
    ]
    counted = frozenset(PRONOUNS.split())
    pronouns = sum(word in counted for word in words)
    functions = [ast.get_docstring(node) for module in modules for node in module.functions]
    first = Counter(text.split()[0].rstrip(".,:;") for text in functions if text and text.strip())
    return {
        "words": len(words),
        "pronouns": pronouns,
        "pronouns in 100 words": round(100 * pronouns / max(1, len(words)), 2),
        "docstrings of functions": sum(first.values()),
        **{f'... begin with "{word}"': first[word] for word in FIRST_WORDS},
    }


def comment_figures(modules: Sequence[Module]) -> dict[str, Cell]:
    """Count lines of comments and of code."""
    code = alone = behind = 0
    for module in modules:
        lines: set[int] = set()
        for token in module.tokens:
            if token.type not in NO_CODE:
                lines |= set(range(token.start[0], token.end[0] + 1))
            elif token.type == tokenize.COMMENT and token.line.lstrip().startswith("#"):
                alone += 1
            elif token.type == tokenize.COMMENT:
                behind += 1
        # A token of a docstring is a string like any other: only the syntax tree knows docstrings.
        for node in module.docstrings:
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        code += len(lines)
    return {
        "code lines": code,
        "comment lines": alone,
        "comment lines in 100 code lines": round(100 * alone / max(1, code), 2),
        "comments behind code": behind,
    }


def any_figures(modules: Sequence[Module]) -> dict[str, Cell]:
    """Count parameters and attributes of the type Any."""
    nodes = [node for module in modules for node in module.functions]
    taken = [node.args.kwarg for node in nodes if node.args.kwarg]
    loose = [argument.arg for argument in taken if _is_any(argument.annotation)]
    given = [node for node in nodes if node.name == "__getattr__" and _is_any(node.returns)]
    return {
        "**fields: Any": loose.count("fields"),
        "** of any name: Any": len(loose),
        "__getattr__ -> Any": len(given),
    }


def _is_any(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation) in {"Any", "typing.Any"}


def word_figures(modules: Sequence[Module]) -> dict[str, Cell]:
    """Count the words of WORDS."""
    counts: Counter[str] = Counter()
    for module in modules:
        pieces = [str(node.value) for node in module.docstrings]
        for token in module.tokens:
            name = token.type == tokenize.NAME and not keyword.iskeyword(token.string)
            if name or token.type == tokenize.COMMENT:
                pieces.append(token.string)
        for piece in pieces:
            # Splits `HTTPError`, `close_books` and `closeBooks` into words.
            parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", piece)
            counts.update(part.lower() for part in parts)
    return {label: sum(counts[word] for word in words) for label, words in WORDS.items()}


def trace_rows(root: Path) -> list[Row]:
    """Count the modules entered by one call, by process and by package."""
    traced = trace(root)
    rows: list[Row] = []
    for label, paths in (
        ("in the client's process", traced.client),
        ("in the worker's process", traced.worker),
        ("in either", traced.either),
    ):
        counts = Counter(map(package_of, paths))
        columns = [*PACKAGES, "protocol"]
        rows.append((label, {**{c: counts[c] for c in columns}, "total": len(paths)}))
    return rows


def figures(root: Path, *, traced: bool) -> dict[str, list[Row]]:
    """Measure the checkout at `root`; return the rows of each table by title."""
    groups = {column: load(root / folder) for column, folder in FOLDERS.items()}
    groups["source"] = [module for column in PACKAGES for module in groups[column]]
    columns = {c: groups[c] for c in (*PACKAGES, "source", "tests")}
    tables: dict[str, list[Row]] = {}
    for title, count in (
        ("Files", file_figures),
        ("Docstrings", prose_figures),
        ("Comments", comment_figures),
        ("Any", any_figures),
        ("Words", word_figures),
    ):
        values = {column: count(modules) for column, modules in columns.items()}
        labels = next(iter(values.values()))
        tables[title] = [(label, {c: values[c][label] for c in values}) for label in labels]
        if title == "Files":
            tables["Public surface"] = surface_rows(groups)
    if traced:
        tables["Modules that one call enters (traced)"] = trace_rows(root)
    return tables


def render(tables: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Yield the lines of the tables, with columns as narrow as possible."""
    first = max(len(label) for rows in tables.values() for label, _ in rows)
    for title, rows in tables.items():
        columns = list(dict.fromkeys(column for _, values in rows for column in values))
        cells = [[str(values.get(column, "")) for column in columns] for _, values in rows]
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        for label, line in zip(
            [title, *(label for label, _ in rows)], [columns, *cells], strict=True
        ):
            padded = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            yield f"{label:{first}}  {'  '.join(padded)}"
        yield ""


def main() -> None:
    """Print the figures of a checkout."""
    parser = argparse.ArgumentParser(description="Prints figures on the shape of a checkout.")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--trace", action="store_true", help="run one LLM call as well")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    given = parser.parse_args()
    tables = figures(given.root.resolve(), traced=given.trace)
    if given.json:
        print(json.dumps({title: dict(rows) for title, rows in tables.items()}, indent=1))
    else:
        print("\n".join(render(tables)).rstrip())


if __name__ == "__main__":
    main()
