"""Checks of command lines in documents: each program parses its own, and nothing is run."""

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from itertools import groupby, pairwise
from typing import Any, Final

import typer.main
from rq.cli.cli import main as rq_group

from invokeq.cli.root import app
from tests.support.documents import Block, Name
from tests.support.paths import ROOT

Words = list[str]

OTHER_PROGRAMS: Final = {"cd", "curl", "docker", "export", "jq", "pre-commit", "valkey-cli"}
"""Programs of others, whose arguments are not checked."""


def commands_of(block: Block) -> Iterator[Words]:
    """Yield the words of each command; in a console, commands stand behind the prompt `$ `."""
    pending = ""
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
        if block.language == "console" and not line.startswith("$ "):
            continue
        pending += line.removeprefix("$ ")
        try:
            lexer = shlex.shlex(pending, posix=True, punctuation_chars="|&;")
            lexer.whitespace_split = True
            words = list(lexer)
        except ValueError:  # a quote that ends on a later line
            pending += "\n"
            continue
        pending = ""
        for is_operator, command in groupby(words, lambda word: not word.strip("|&;")):
            if not is_operator:
                yield list(command)
    assert not pending, f"{block.where}: a quote has no end"


def check(words: Words, where: str) -> None:
    """Check one command line; raise AssertionError with the place and what is wrong."""
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    if not words:
        return
    program = words[0].rpartition("/")[2]
    if program in OTHER_PROGRAMS:
        return
    assert program in CHECKS, f"{where}: unknown program {program!r}"
    try:
        CHECKS[program]([word for word in words[1:] if word != "..."])
    except Exception as error:
        detail = getattr(error, "message", None) or str(error) or type(error).__name__
        raise AssertionError(f"{where}: {shlex.join(words)}: {detail}") from error


def check_outline(words: Words, span: Name) -> None:
    """Check a command that the text mentions, which may lack arguments: its name and options."""
    if words[0] not in ("invokeq", "rq"):
        check(words, span.where)
        return
    try:
        command, left = _leaf_of(_INVOKEQ if words[0] == "invokeq" else rq_group, words[1:])
    except AssertionError as error:
        raise AssertionError(f"{span.where}: {span.text}: {error}") from error
    known = {"--help", *(name for parameter in command.params for name in parameter.opts)}
    unknown = {w.partition("=")[0] for w in left if w.startswith("-") and w != "-"} - known
    assert not unknown, f"{span.where}: {span.text}: no such option: {', '.join(unknown)}"


def _leaf_of(group: Any, words: Words) -> tuple[Any, Words]:
    """Return the command that the first words name, and the words that are left for it."""
    command = group
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        found = command.commands.get(words[0])
        assert found is not None, f"no such command: {words[0]}"
        command, words = found, words[1:]
    return command, words


def _parse_with(group: Any) -> Callable[[Words], None]:
    """Return a check that parses words as a command of `group` does."""

    def parse(words: Words) -> None:
        command, left = _leaf_of(group, words)
        if not hasattr(command, "commands"):
            end = left.index("<") if "<" in left else len(left)
            command.make_context(command.name, left[:end])

    return parse


def _check_make(words: Words) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    unknown = {word for word in words if "=" not in word} - set(targets)
    assert not unknown, f"no such target: {', '.join(unknown)}"


def _check_python(words: Words) -> None:
    if words[0] != "-m":
        assert (ROOT / words[0]).is_file(), f"no such file: {words[0]}"
    elif words[1] == "pytest":
        for path in (word for word in words[2:] if word.startswith("tests/")):
            assert (ROOT / path.partition("::")[0]).exists(), f"no such test: {path}"
    elif words[1] != "main":  # a plugin's own
        own = (ROOT / words[1].replace(".", "/")).with_suffix(".py")
        assert own.is_file() or find_spec(words[1]), f"no such module: {words[1]}"


def _check_pip(words: Words) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for flag, word in pairwise(words):
        if flag in ("-r", "-c"):
            assert (ROOT / word).is_file(), f"no such file: {word}"
    for word in words:
        named = re.fullmatch(r"(?:invokeq|\.)\[([\w,-]+)\]", word)
        unknown = set(named[1].split(",") if named else ()) - set(project["optional-dependencies"])
        assert not unknown, f"no such extra: {', '.join(unknown)}"


_INVOKEQ: Final[Any] = typer.main.get_command(app)
CHECKS: Final[Mapping[str, Callable[[Words], None]]] = {
    "invokeq": _parse_with(_INVOKEQ),
    "make": _check_make,
    "pip": _check_pip,
    "python": _check_python,
    "rq": _parse_with(rq_group),
}
