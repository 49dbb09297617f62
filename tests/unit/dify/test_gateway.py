"""Parts of the gateway, without a server."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from importlib.util import find_spec
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from invokeq.cli.root import app
from invokeq.dify.logs import EventLogger, LogEvent
from invokeq.errors import (
    InvalidConfigurationError,
    InvalidRequestError,
    ProtocolError,
    UnknownSessionError,
)
from invokeq.gateway import GatewaySettings, frames
from invokeq.gateway.frames import frame
from invokeq.gateway.logs import ConsoleFormatter, JsonFormatter
from invokeq.gateway.sessions import (
    close_session,
    find_session,
    open_session,
    parse_opening,
)
from invokeq.gateway.streamed_response import StreamedResponse


def test_a_frame_is_the_one_of_the_contract() -> None:
    assert frame(b"{}") == bytes.fromhex("0f000a00020000000000000000007b7d")


def test_a_frame_that_the_daemon_would_not_read_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frames, "MAX_DATA", 3)
    assert frame(b"123")
    with pytest.raises(ProtocolError, match="4 bytes; the limit is 3"):
        frame(b"1234")


@pytest.mark.parametrize(
    ("fields", "setting"),
    [
        ({}, "key: set INVOKEQ_GATEWAY_KEY"),
        ({"key": "schlüssel"}, "key: must be ASCII"),
        ({"key": "k", "inner_key": "schlüssel"}, "inner_key: must be ASCII"),
        ({"key": "k", "heartbeat": 0}, "heartbeat: must be more than 0"),
        ({"key": "k", "grace": float("nan")}, "grace: must be more than 0"),
    ],
)
def test_settings_that_make_no_sense(fields: dict[str, Any], setting: str) -> None:
    with pytest.raises(InvalidConfigurationError, match=f"^gateway: {setting}"):
        GatewaySettings(**fields)


def test_settings_do_not_show_keys() -> None:
    shown = repr(
        GatewaySettings(key="secret-1", inner_key="secret-2", redis="redis://u:secret-3@h")
    )
    assert "secret" not in shown


def test_without_the_extra_the_command_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(name: str) -> object:
        return None if name == "uvicorn" else find_spec(name)

    monkeypatch.setattr("invokeq.cli.operate.gateway.find_spec", without)
    result = CliRunner().invoke(app, ["gateway", "--key", "k"])
    assert result.exit_code == 1
    assert "pip install 'invokeq[gateway]'" in result.output


def test_a_session_is_opened_found_and_closed_in_one_round_trip_each() -> None:
    opening = parse_opening({"plugin_id": "acme/tool", "tenant_id": "t", "session_id": "s" * 16})
    plan = open_session(opening, 60)
    ((command, key, value, *ttl),) = next(plan).commands
    assert (command, ttl) == ("SET", ["EX", 60])
    assert "ssss" not in str(key)
    with pytest.raises(StopIteration) as done:
        plan.send([b"OK"])
    assert done.value.value == "s" * 16

    finding = find_session("s" * 16)
    assert next(finding).commands == [("GET", key)]
    with pytest.raises(StopIteration) as found:
        finding.send([value])
    assert found.value.value.model_dump() == {
        "plugin_id": "acme/tool",
        "tenant_id": "t",
        "user_id": None,
    }
    assert next(close_session("s" * 16)).commands == [("DEL", key)]


def test_session_ids_are_made_where_none_is_given() -> None:
    ids: set[str] = set()
    for _ in range(2):
        plan = open_session(parse_opening({"plugin_id": "a"}), 60)
        next(plan)
        with pytest.raises(StopIteration) as done:
            plan.send([b"OK"])
        ids.add(done.value.value)
    assert len(ids) == 2
    assert {len(made) for made in ids} == {32}


@pytest.mark.parametrize(("value", "error"), [(None, UnknownSessionError), (b"{}", ProtocolError)])
def test_a_session_that_is_not_there(value: bytes | None, error: type[Exception]) -> None:
    plan = find_session("s")
    next(plan)
    with pytest.raises(error):
        plan.send([value])


@pytest.mark.parametrize("plugin", ["", "a b", "a:b", None])
def test_a_plugin_that_can_have_no_lane_opens_no_session(plugin: object) -> None:
    with pytest.raises(InvalidRequestError, match="plugin_id"):
        parse_opening({"plugin_id": plugin})


async def test_headers_wait_for_the_first_piece() -> None:
    """Dify's daemon counts its 240 s from the headers on."""
    sent: list[Any] = []

    async def pieces() -> AsyncGenerator[bytes, None]:
        assert sent == []
        yield b"one"

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return await never()

    await StreamedResponse(pieces(), "text/plain")({}, receive, send)
    assert [message["type"].rpartition(".")[2] for message in sent] == ["start", "body", "body"]
    assert [message.get("body") for message in sent] == [None, b"one", b""]


async def never() -> Any:
    return await asyncio.get_running_loop().create_future()


def test_a_line_of_the_log_is_one_line() -> None:
    event = LogEvent("call finished", {"plugin": "a", "ms": 5})
    record = logging.LogRecord("invokeq.gateway", logging.INFO, "", 0, event, None, None)
    line = orjson.loads(JsonFormatter().format(record))
    told = {"event": "call finished", "level": "info", "plugin": "a", "ms": 5}
    assert told.items() <= line.items()
    assert ConsoleFormatter().format(record).endswith("[info] call finished plugin=a ms=5")


def test_lines_of_other_libraries_have_the_name_of_their_logger() -> None:
    record = logging.LogRecord("asyncio", logging.ERROR, "", 0, "odd %s", ("thing",), None)
    line = orjson.loads(JsonFormatter().format(record))
    assert {"event": "odd thing", "level": "error", "logger": "asyncio"}.items() <= line.items()


def test_an_event_reads_well_under_any_handler(caplog: pytest.LogCaptureFixture) -> None:
    """As where a plugin's author has configured logging with no formatter of ours."""
    EventLogger("invokeq.test").warning("message too long", plugin="acme/a", session=None)
    (record,) = caplog.records
    assert record.getMessage() == "message too long plugin=acme/a"
    assert record.funcName == "test_an_event_reads_well_under_any_handler"
