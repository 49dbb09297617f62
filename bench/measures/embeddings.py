"""Embeddings: what invokeq adds to the provider's own time, and the bytes it sends to Redis."""

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
    """Alternate between the provider in a process of its own and the whole way."""
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
            alone = ask_reader("embed", texts=texts, model=MODEL)
            before = _bytes_in(ours.redis)
            whole = ours.ask("embed", texts=texts, model=f"sse/{MODEL}")
            sent = _bytes_in(ours.redis) - before
            if call:  # the first one opens connections
                book.add(NAME, "provider alone", "ms", alone * 1000)
                book.add(NAME, "whole way", "ms", whole * 1000)
                book.add(NAME, "added", "ms", (whole - alone) * 1000)
                book.add(NAME, "bytes to Redis / 4 a float", "x", sent / (texts * DIMENSIONS * 4))
    book.goal(NAME, "added", "<=", 20)
    book.goal(NAME, "bytes to Redis / 4 a float", "<=", 1.1)


def _bytes_in(client: Any) -> int:
    return int(client.info("stats")["total_net_input_bytes"])
