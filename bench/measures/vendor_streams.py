"""The cost of reading a vendor's stream with the `openai` provider, beside the bare SDK."""

from typing import Final

from bench.setting import Setting
from bench.subjects.catalog import INVOKEQ
from bench.subjects.processes import Child, cpu_seconds
from bench.subjects.running import Providers, Running, running, start_helper

NAME: Final = "openai"
TITLE: Final = "200 streams through the openai provider, from a local SSE server"
RATE: Final = 20.0
CALLS: Final = 40
WARM: Final = 5
"""Calls before the measurement, which load modules and open connections."""

SECONDS: Final = 60.0


def run(setting: Setting) -> None:
    """Alternate between the bare SDK, the provider without Redis, and the whole way."""
    setting.erase()
    vendor = start_helper(setting.workspace, "bench.vendor.server")
    try:
        url = vendor.ask("address")
        reader = start_helper(setting.workspace, "bench.vendor.reader", url)
        try:
            providers = {"sse": {"type": "openai", "base_url": url}}
            _compare(setting, reader, providers)
        finally:
            reader.stop()
    finally:
        vendor.stop()


def _compare(setting: Setting, reader: Child, providers: Providers) -> None:
    sizes, table = setting.sizes, setting.table
    with running(
        setting.workspace,
        INVOKEQ,
        places=sizes.vendor_streams,
        providers={"scripted": {}, **providers},
    ) as ours:
        for way in _WAYS:
            reader.ask("first", way=way, times=WARM, model="c1r0")
        ours.ask("latency", times=WARM, model="sse/c1r0")
        for _ in range(sizes.rounds):
            _first_chunks(setting, reader, ours)
            for way in _WAYS:
                _read(setting, reader, way)
            _whole_way(setting, ours)
    sdk, whole = (
        table.find(NAME, "first chunk, bare SDK"),
        table.find(NAME, "first chunk, whole way"),
    )
    alone = table.find(NAME, "first chunk, provider")
    if sdk is not None and whole is not None and alone is not None:
        table.add(NAME, "first chunk, added by all", "ms", whole.median - sdk.median)
        table.add(NAME, "first chunk, added by provider", "ms", alone.median - sdk.median)
    table.goal(NAME, "CPU a chunk, provider", "<=", 60)
    table.goal(NAME, "first chunk, added by all", "<=", 3)


_WAYS: Final = {"sdk": "bare SDK", "provider": "provider"}


def _read(setting: Setting, reader: Child, way: str) -> None:
    """Read long streams and answers of one chunk, to separate the cost of a chunk and a request."""
    streams, name = setting.sizes.vendor_streams, _WAYS[way]
    model = f"c{setting.sizes.vendor_chunks}r{RATE:g}"
    many = reader.ask("read", within=SECONDS, way=way, streams=streams, model=model)
    few = reader.ask("read", within=SECONDS, way=way, streams=streams, model="c1r0")
    chunk = (many["cpu"] - few["cpu"]) / (many["chunks"] - few["chunks"])
    table = setting.table
    table.add(NAME, f"CPU a chunk, {name}", "us", chunk * 1e6)
    table.add(
        NAME, f"CPU a chunk with the request's, {name}", "us", many["cpu"] / many["chunks"] * 1e6
    )
    table.add(NAME, f"CPU a request, {name}", "us", few["cpu"] / streams * 1e6)


def _first_chunks(setting: Setting, reader: Child, ours: Running) -> None:
    times = setting.sizes.of(CALLS)
    for way, name in _WAYS.items():
        taken = reader.ask("first", way=way, times=times, model="c1r0")
        setting.table.add(NAME, f"first chunk, {name}", "ms", *taken)
    taken = ours.ask("latency", times=times, model="sse/c1r0")
    setting.table.add(NAME, "first chunk, whole way", "ms", *taken)


def _whole_way(setting: Setting, ours: Running) -> None:
    chunks, streams = setting.sizes.vendor_chunks, setting.sizes.vendor_streams
    before = cpu_seconds(ours.worker.pid)
    found = ours.ask(
        "streams",
        within=SECONDS,
        streams=streams,
        chunks=chunks,
        rate=0.0,
        limit=SECONDS / 2,
        model=f"sse/c{chunks}r{RATE:g}",
    )
    cpu = cpu_seconds(ours.worker.pid) - before
    setting.table.add(NAME, "worker CPU a chunk", "us", cpu / found["delivered"] * 1e6)
