"""The most chunks a second end to end, beside pipelined XADDs on the same server."""

from typing import Final

from bench.setting import Setting
from bench.subjects.catalog import INVOKEQ
from bench.subjects.running import running
from bench.xadd import xadds_a_second

NAME: Final = "flow"
TITLE: Final = "Most chunks a second, end to end"
STREAMS: Final = 50
SECONDS: Final = 60.0


def run(setting: Setting) -> None:
    """Alternate between streams at full speed and plain XADDs."""
    sizes, table = setting.sizes, setting.table
    setting.erase()
    with running(setting.workspace, INVOKEQ, places=STREAMS) as ours:
        for _ in range(sizes.rounds):
            tool, rate = xadds_a_second(setting.workspace.url, sizes.flow_chunks)
            table.add(NAME, "XADD, pipelines of 32", "/s", rate).note = tool
            chunks = sizes.flow_chunks // STREAMS
            arguments = {"streams": STREAMS, "chunks": chunks, "rate": 0.0, "limit": SECONDS}
            found = ours.ask("streams", within=SECONDS + 10, **arguments)
            table.add(NAME, "chunks", "/s", found["chunks_s"])
            table.add(NAME, "client CPU a chunk", "us", found["client_us"])
    chunks, plain = table.find(NAME, "chunks"), table.find(NAME, "XADD, pipelines of 32")
    if chunks is not None and plain is not None:
        table.add(NAME, "share of XADD", "%", 100 * chunks.median / plain.median)
        table.goal(NAME, "share of XADD", ">=", 25)
