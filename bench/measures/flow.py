"""The most chunks a second end to end, beside what pipelined XADDs reach on the same server."""

from typing import Final

from bench.catalog import INVOKEQ
from bench.running import running
from bench.setting import Setting
from bench.xadd import xadds_a_second

NAME: Final = "flow"
TITLE: Final = "Most chunks a second, end to end"
STREAMS: Final = 50
SECONDS: Final = 60.0


def run(setting: Setting) -> None:
    """Alternate between the streams, as fast as they go, and the plain XADDs."""
    sizes, book = setting.sizes, setting.book
    setting.erase()
    with running(setting.place, INVOKEQ, places=STREAMS) as ours:
        for _ in range(sizes.rounds):
            tool, rate = xadds_a_second(setting.place.url, sizes.flow_chunks)
            book.add(NAME, "XADD, pipelines of 32", "/s", rate).note = tool
            chunks = sizes.flow_chunks // STREAMS
            arguments = {"streams": STREAMS, "chunks": chunks, "rate": 0.0, "limit": SECONDS}
            found = ours.ask("streams", within=SECONDS + 10, **arguments)
            book.add(NAME, "chunks", "/s", found["chunks_s"])
            book.add(NAME, "client CPU a chunk", "us", found["client_us"])
    chunks, plain = book.find(NAME, "chunks"), book.find(NAME, "XADD, pipelines of 32")
    if chunks is not None and plain is not None:
        book.add(NAME, "share of XADD", "%", 100 * chunks.median / plain.median)
        book.goal(NAME, "share of XADD", ">=", 25)
