"""The Lua scripts agree with their declarations, and calls with both."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from redis.exceptions import NoScriptError

from invokeq.protocol.redis.resp import Command, Reply
from invokeq_worker.redis import scripts
from invokeq_worker.redis.script import Script
from invokeq_worker.redis.scripts import SCRIPTS, Closing

ROW = re.compile(r"-- \| (\d[\d, .]*?) +\| (\w+) +\|")
LOCALS = re.compile(r"^local ([\w, ]+) = (.*)", re.MULTILINE)
INDEX = re.compile(r"(KEYS|ARGV)\[(\d+)\]")

each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)


def table(script: Script[Any, Any, Any, Any], title: str) -> list[tuple[str, str]]:
    """Return the rows of one table on top of a script: the place, and the name."""
    _, _, rest = script.source.decode().partition(f"-- | {title} ")
    rows, _, _ = rest.partition("--\n")
    return ROW.findall(rows)


def declared(fields: tuple[str, ...], group: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for at, name in enumerate(fields, 1):
        yield str(at), name
    for at, name in enumerate(group, len(fields) + 1):
        yield f"{at}, {at + len(group)}, ...", name


@each_script
def test_the_tables_on_top_are_the_declaration(script: Script[Any, Any, Any, Any]) -> None:
    keys = declared(script.keys._fields, script.group_keys._fields)
    args = declared(script.args._fields, script.group_args._fields)
    assert table(script, "KEYS") == list(keys)
    assert table(script, "ARGV") == list(args)


@each_script
def test_the_script_reads_each_place_into_the_declared_name(
    script: Script[Any, Any, Any, Any],
) -> None:
    """Fails when two names of a declaration are swapped: tried."""
    fields = {"KEYS": script.keys._fields, "ARGV": script.args._fields}
    read: list[str] = []
    source = script.source.decode()
    for names, values in LOCALS.findall(source):
        places = INDEX.findall(values)
        for name, (kind, at) in zip(names.split(", "), places, strict=False):
            assert fields[kind][int(at) - 1] == name
            read.append(f"{kind}[{at}]")
    assert len(read) == len(INDEX.findall(source)), "one is read past its name"
    assert set(read) == {
        f"{kind}[{at}]" for kind, names in fields.items() for at in range(1, len(names) + 1)
    }


@each_script
def test_a_group_starts_behind_the_fields(script: Script[Any, Any, Any, Any]) -> None:
    found = re.search(r"FIRST_QUEUE = (\d+)", script.source.decode())
    if found is not None:
        assert int(found[1]) == len(script.args._fields) + 1
    counted = re.search(r"local FIELDS = (\d+)", script.source.decode())
    if counted is not None:
        assert int(counted[1]) == len(script.group_args._fields)


def test_groups_follow_the_keys_and_the_arguments() -> None:
    command = scripts.claim("w1", queues=("llm", "tts"), capacity=3, execution_prefix="ab")
    name, sha, count, *rest = command
    assert (name, sha, count) == ("EVALSHA", scripts.CLAIM.sha, 10)
    assert rest[4:10] == [
        f"rq:invokeq:{kind}:{queue}"
        for queue in ("llm", "tts")
        for kind in ("ready", "wakeup", "schedule")
    ]
    assert rest[10:] == ["rq", "w1", 3, "ab", scripts.EXECUTION_TTL, "llm", "tts"]


def test_finishing_names_the_job_and_its_registries() -> None:
    closing = Closing(
        "llm:acme", "id", "ex", "failed", "stopped", "2", 1.0, 2.0, "iso", 60, b"z", b"eg=="
    )
    _, _, count, worker, executions, job, wip, registry, prefix, name, *args = scripts.finish(
        "w1", [closing]
    )
    assert (count, worker, executions) == (5, "rq:worker:w1", "rq:worker:w1:executions")
    assert (job, wip, registry) == ("rq:job:id", "rq:wip:llm:acme", "rq:failed:llm:acme")
    assert (prefix, name) == ("rq", "w1")
    assert args == ["id", "ex", "stopped", "2", 1.0, 2.0, "iso", 60, b"z", b"eg=="]


def test_replies_are_named() -> None:
    claim = scripts.parse_claim([0, 1, [[b"llm:acme", b"id", b"ex", 2, 1, b"data"]]])
    assert (claim.suspended, claim.left) == (False, True)
    assert claim.jobs == [scripts.Claimed("llm:acme", "id", "ex", 2, True, b"data")]
    assert scripts.parse_heartbeat([5, 1, [b"w2"]]) == (5, True, ["w2"])


class Forgetful:
    """A server that has lost the scripts until they are loaded."""

    def __init__(self) -> None:
        self.batches: list[list[Command]] = []

    async def exchange(self, commands: list[Command], timeout: float) -> list[Reply]:
        self.batches.append(list(commands))
        loaded = any(command[0] == "SCRIPT" for command in commands)
        return [
            NoScriptError("NOSCRIPT") if command[0] == "EVALSHA" and not loaded else b"ok"
            for command in commands
        ]


async def test_lost_scripts_are_loaded_and_only_the_refused_are_sent_again() -> None:
    server = Forgetful()
    call = scripts.claim("w1", queues=("llm",), capacity=1, execution_prefix="ab")
    replies = await scripts.exchange(server, [("INCR", "n"), call], 1.0)  # type: ignore[arg-type]
    assert replies == [b"ok", b"ok"]
    assert [command[0] for command in server.batches[1]] == ["SCRIPT"] * len(SCRIPTS) + ["EVALSHA"]
