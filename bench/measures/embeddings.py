"""Embeddings: the time that invokeq adds to the provider's, and the bytes to Redis.

The provider alone returns packed numbers. The added time includes the lists of floats for the
caller. The bare SDK makes such lists too, so the table shows the SDK for comparison.
"""

from collections.abc import Callable
from typing import Any, Final

from bench.setting import Setting
from bench.subjects.catalog import INVOKEQ
from bench.subjects.running import running, start_helper

NAME: Final = "embeddings"
TITLE: Final = "Embeddings of 1,000 texts, 1,536 floats each"
DIMENSIONS: Final = 1536
MODEL: Final = "text-embedding-3-small"
CALLS: Final = 5


def run(setting: Setting) -> None:
    """Alternate between the SDK, the provider in a process of its own, and the whole way."""
    setting.erase()
    vendor = start_helper(setting.workspace, "bench.vendor.server")
    try:
        url = vendor.ask("address")
        reader = start_helper(setting.workspace, "bench.vendor.reader", url)
        try:
            _compare(setting, url, reader.ask)
        finally:
            reader.stop()
    finally:
        vendor.stop()


def _compare(setting: Setting, url: str, ask_reader: Callable[..., float]) -> None:
    table, texts = setting.table, setting.sizes.texts
    providers = {"scripted": {}, "sse": {"type": "openai", "base_url": url}}
    with running(setting.workspace, INVOKEQ, places=10, providers=providers) as ours:
        for call in range(CALLS * setting.sizes.rounds):
            bare = ask_reader("embed", way="sdk", texts=texts, model=MODEL)
            alone = ask_reader("embed", way="provider", texts=texts, model=MODEL)
            before = _bytes_in(ours.redis)
            whole = ours.ask("embed", texts=texts, model=f"sse/{MODEL}")
            sent = _bytes_in(ours.redis) - before
            if call:  # the first one opens connections
                table.add(NAME, "bare SDK", "ms", bare * 1000)
                table.add(NAME, "provider alone", "ms", alone * 1000)
                table.add(NAME, "whole way", "ms", whole * 1000)
                table.add(NAME, "added", "ms", (whole - alone) * 1000)
                table.add(NAME, "added to the bare SDK", "ms", (whole - bare) * 1000)
                table.add(NAME, "bytes to Redis / 4 a float", "x", sent / (texts * DIMENSIONS * 4))
    table.goal(NAME, "added", "<=", 20)
    table.goal(NAME, "added to the bare SDK", "<=", 20)
    table.goal(NAME, "bytes to Redis / 4 a float", "<=", 1.1)


def _bytes_in(client: Any) -> int:
    return int(client.info("stats")["total_net_input_bytes"])
