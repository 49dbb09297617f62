"""Embeddings: what invokeq adds to the provider's own time, and the bytes it sends to Redis.

The provider alone ends with packed numbers. Lists of floats, which the caller gets, are in what is
added; the bare SDK makes them as well, and stands beside for that.
"""

from collections.abc import Callable
from typing import Any, Final

from bench.catalog import INVOKEQ
from bench.running import running, start_helper
from bench.setting import Setting

NAME: Final = "embeddings"
TITLE: Final = "Embeddings of 1,000 texts, 1,536 floats each"
DIMENSIONS: Final = 1536
MODEL: Final = "text-embedding-3-small"
CALLS: Final = 5


def run(setting: Setting) -> None:
    """Alternate between SDK and provider in a process of their own, and the whole way."""
    setting.erase()
    vendor = start_helper(setting.place, "bench.vendor")
    try:
        url = vendor.ask("address")
        reader = start_helper(setting.place, "bench.vendor_reader", url)
        try:
            _compare(setting, url, reader.ask)
        finally:
            reader.stop()
    finally:
        vendor.stop()


def _compare(setting: Setting, url: str, ask_reader: Callable[..., float]) -> None:
    book, texts = setting.book, setting.sizes.texts
    providers = {"scripted": {}, "sse": {"type": "openai", "base_url": url}}
    with running(setting.place, INVOKEQ, places=10, providers=providers) as ours:
        for call in range(CALLS * setting.sizes.rounds):
            bare = ask_reader("embed", way="sdk", texts=texts, model=MODEL)
            alone = ask_reader("embed", way="provider", texts=texts, model=MODEL)
            before = _bytes_in(ours.redis)
            whole = ours.ask("embed", texts=texts, model=f"sse/{MODEL}")
            sent = _bytes_in(ours.redis) - before
            if call:  # the first one opens connections
                book.add(NAME, "bare SDK", "ms", bare * 1000)
                book.add(NAME, "provider alone", "ms", alone * 1000)
                book.add(NAME, "whole way", "ms", whole * 1000)
                book.add(NAME, "added", "ms", (whole - alone) * 1000)
                book.add(NAME, "added to the bare SDK", "ms", (whole - bare) * 1000)
                book.add(NAME, "bytes to Redis / 4 a float", "x", sent / (texts * DIMENSIONS * 4))
    book.goal(NAME, "added", "<=", 20)
    book.goal(NAME, "added to the bare SDK", "<=", 20)
    book.goal(NAME, "bytes to Redis / 4 a float", "<=", 1.1)


def _bytes_in(client: Any) -> int:
    return int(client.info("stats")["total_net_input_bytes"])
