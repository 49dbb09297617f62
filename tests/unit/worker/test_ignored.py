"""Parameters that models do not have are told once, and never without bound."""

from structlog.testing import capture_logs

from invokeq_worker.attempts.context import LONGEST_NAMES, MOST_FINDINGS, IgnoredParameters


def test_each_finding_is_told_once() -> None:
    ignored = IgnoredParameters()
    with capture_logs() as logs:
        ignored.note("p", "m", [])
        ignored.note("p", "m", ["b", "a"])
        ignored.note("p", "m", ["a", "b"])
        ignored.note("p", "m", ["a"])
        ignored.note("p", "n", ["a"])
    assert [(line["model"], line["parameters"]) for line in logs] == [
        ("m", "a, b"),
        ("m", "a"),
        ("n", "a"),
    ]
    assert {line["log_level"] for line in logs} == {"info"}


def test_made_up_names_fill_neither_log_nor_memory() -> None:
    ignored = IgnoredParameters()
    with capture_logs() as logs:
        for number in range(2 * MOST_FINDINGS):
            ignored.note("p", "m", [f"{number} {'x' * 1000}"])
    assert len(logs) == MOST_FINDINGS
    assert max(len(line["parameters"]) for line in logs) == LONGEST_NAMES
