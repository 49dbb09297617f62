"""The choice of servers, known before any other import: pytest loads this plugin by `-p`.

RQ reads its key prefix at import. A run that includes a cluster needs a prefix with a hash tag, in
every test and in every child process.
"""

import os

import pytest

DEFAULT = "valkey9"
PREFIX = "{rq}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--server`."""
    parser.addoption(
        "--server",
        default=os.environ.get("INVOKEQ_TEST_SERVER") or DEFAULT,
        help="valkey9 (default), valkey81, redis62, system, cluster, a URL, several with commas,"
        " or all but cluster; also by INVOKEQ_TEST_SERVER",
    )


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Set RQ's prefix if one of the servers is a cluster."""
    if "cluster" in early_config.known_args_namespace.server:
        os.environ["RQ_KEY_PREFIX"] = PREFIX
