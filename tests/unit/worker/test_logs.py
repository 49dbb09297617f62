"""What reaches stderr: both kinds of loggers, two formats, and never a credential."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from invokeq_worker.config.models import LogSettings
from invokeq_worker.logs import Redactor, configure_logging

TOKEN = "sk-0123456789"
AWKWARD = 'pä"ss\\word'
URL = "redis://user:p%40ss%2Fw0rd@example.org/0"
SECRETS = [f"Bearer {TOKEN}", AWKWARD, URL, "EMPTY"]

Format = Literal["console", "json"]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Put the logging of the test run back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def configured(style: Format, level: Literal["debug", "info"] = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(LogSettings(level=level, format=style), SECRETS, stream)
    return stream


def test_json_has_one_object_a_line_with_the_request_id() -> None:
    stream = configured("json")
    with structlog.contextvars.bound_contextvars(request_id="ab" * 16):
        structlog.get_logger().info("claimed", attempt=1)
        logging.getLogger("rq.worker").warning("registered %s", "w1")
    ours, theirs = map(json.loads, stream.getvalue().splitlines())
    assert ours.items() >= {
        "event": "claimed", "level": "info", "attempt": 1, "request_id": "ab" * 16
    }.items()  # fmt: skip
    assert theirs.items() >= {
        "event": "registered w1", "level": "warning", "logger": "rq.worker",
        "request_id": "ab" * 16,
    }.items()  # fmt: skip
    assert ours["timestamp"].endswith("Z")


def test_console_is_one_plain_line_where_there_is_no_terminal() -> None:
    stream = configured("console")
    structlog.get_logger().info("claimed", request_id="ab")
    (line,) = stream.getvalue().splitlines()
    assert "claimed" in line
    assert "request_id=ab" in line
    assert "\x1b" not in line


def test_the_level_holds_for_both_kinds_of_loggers() -> None:
    stream = configured("json", "info")
    structlog.get_logger().debug("ours")
    logging.getLogger("rq.worker").debug("theirs")
    assert stream.getvalue() == ""


def test_http_libraries_never_log_requests() -> None:
    stream = configured("json", "debug")
    logging.getLogger("openai._base_client").debug("Request options: %s", {"messages": "prompt"})
    logging.getLogger("httpx").info("HTTP Request: POST https://example.org")
    logging.getLogger("httpx").warning("seen")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["seen"]


@pytest.mark.parametrize("style", ["console", "json"])
@pytest.mark.parametrize("secret", [TOKEN, AWKWARD, URL, "p%40ss%2Fw0rd", "p@ss/w0rd"])
def test_no_credential_passes(style: Format, secret: str) -> None:
    stream = configured(style)
    log = structlog.get_logger()
    log.info(f"event {secret}", value=secret, nested={"header": [f"Bearer {secret}"]})
    logging.getLogger("rq.worker").warning("message %s", secret, extra={"value": secret})
    try:
        raise ValueError(f"refused {secret}")
    except ValueError:
        log.exception("failed")
        logging.getLogger("rq.worker").exception("failed")
    text = stream.getvalue()
    assert text.count("***") >= 6
    for spelling in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
        assert spelling not in text


@pytest.mark.parametrize("style", ["console", "json"])
def test_tracebacks_do_not_show_local_variables(style: Format) -> None:
    stream = configured(style)
    words = ["the", "whole", "prompt"]
    prompt = "-".join(words)
    try:
        raise ValueError(len(prompt))
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "Traceback" in stream.getvalue()
    assert "the-whole-prompt" not in stream.getvalue()


def test_placeholders_are_not_taken_for_secrets() -> None:
    assert Redactor(["EMPTY"]).redact("the queue is EMPTY") == "the queue is EMPTY"


def test_a_secret_inside_a_longer_one_is_masked_as_part_of_it() -> None:
    assert Redactor(["secret-1", "secret-123"]).redact("secret-123, secret-1") == "***, ***"


def test_the_password_of_sentinels_is_masked() -> None:
    """Fails when only the user's part of a URL is taken for a secret: tried."""
    url = "redis+sentinel://one/m?db=1&sentinel_password=of%2fsentinels"
    redactor = Redactor([url])
    assert redactor.redact("AUTH of/sentinels") == "AUTH ***"
    assert redactor.redact("?sentinel_password=of%2fsentinels") == "?sentinel_password=***"


def test_without_secrets_lines_stay_as_they_are() -> None:
    assert Redactor([]).redact("anything") == "anything"
