"""Measure invokeq beside other job queues, in one run on one server; see bench/README.md."""

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType
from typing import Any, Final

from rich.console import Console

from bench.measures import MEASURES, Measure
from bench.reporting.machine import host_class, load, machine
from bench.reporting.plot import draw
from bench.reporting.report import show
from bench.reporting.result_table import ResultTable
from bench.setting import QUICK, Setting, Sizes
from bench.subjects.catalog import INVOKEQ, PEERS, SUBJECTS, Subject
from bench.subjects.environments import bin_directory, versions
from bench.subjects.processes import ChildError
from bench.subjects.running import Workspace
from invokeq.errors import InvokeqError
from invokeq_worker.process.embedded_server import EmbeddedValkey

RESULTS: Final = Path(__file__).parent / "results"
WIDTH: Final = 150
"""The width of tables that are printed to a file, in columns."""

SERVER_OPTIONS: Final = {"maxclients": "10000"}


def main() -> int:
    """Run the chosen measures; return 0 if every measure succeeded."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _end)
    sizes = QUICK if arguments.quick else Sizes()
    if arguments.rounds:
        sizes = replace(sizes, rounds=arguments.rounds)
    subjects = _subjects(arguments.subject)
    measures = [m for m in MEASURES if not arguments.measure or m.name in arguments.measure]
    for subject in subjects:
        bin_directory(subject.environment)
    facts = machine()
    facts["load_before"] = load()
    with tempfile.TemporaryDirectory(prefix="invokeq-bench-") as folder:
        directory = arguments.logs or Path(folder)
        directory.mkdir(parents=True, exist_ok=True)
        with EmbeddedValkey.start(options=SERVER_OPTIONS) as server:
            workspace = Workspace(server.url, directory)
            setting = Setting(workspace, sizes, subjects, ResultTable())
            facts["server"] = _server(workspace)
            failed = [measure.name for measure in measures if not _take(setting, measure)]
    facts["load_after"] = load()
    _write(arguments, setting, facts)
    if failed:
        print(f"could not be taken: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _end(number: int, _: FrameType | None) -> None:
    """Exit on SIGTERM as on Ctrl-C, so that all child processes end too."""
    sys.exit(128 + number)


def _take(setting: Setting, measure: Measure) -> bool:
    setting.say(f"{measure.name}: {measure.title}")
    try:
        measure.run(setting)
    except (ChildError, InvokeqError, RuntimeError, TimeoutError) as error:
        setting.say(f"{measure.name} failed: {error}")
        setting.table.remark(measure.name, str(error))
        return False
    return True


def _write(arguments: argparse.Namespace, setting: Setting, facts: dict[str, Any]) -> None:
    rows = setting.table.rows()
    console = Console()
    show(console if console.is_terminal else Console(width=WIDTH), facts, setting.table)
    stem = f"{facts['date'][:10]}-{host_class()}{'-quick' if arguments.quick else ''}"
    path: Path = arguments.out or RESULTS / f"{stem}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {
        "machine": facts,
        "sizes": {
            name: getattr(setting.sizes, name) for name in (f.name for f in fields(setting.sizes))
        },
        "subjects": {subject.name: _described(subject) for subject in setting.subjects},
        "rows": [row.as_json() for row in rows],
        "remarks": setting.table.remarks,
    }
    path.write_text(json.dumps(whole, indent=1) + "\n")
    drawn = draw(path.with_suffix(".svg"), rows)
    print(f"written: {path}" + (f", {path.with_suffix('.svg')}" if drawn else ""), file=sys.stderr)


def _described(subject: Subject) -> dict[str, Any]:
    environment = subject.environment
    return {
        "settings": subject.settings,
        "packages": versions(environment) if environment is not None else None,
    }


def _subjects(names: list[str]) -> list[Subject]:
    """Return the named subjects, with invokeq first."""
    return [INVOKEQ, *(peer for peer in PEERS if not names or peer.name in names)]


def _server(workspace: Workspace) -> str:
    with workspace.connect() as client:
        info = client.info("server")
    return f"Valkey {info.get('valkey_version', info['redis_version'])}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        *("--measure", "-m"),
        action="append",
        default=[],
        choices=[measure.name for measure in MEASURES],
        help="only this one; may be given again",
    )
    parser.add_argument(
        *("--subject", "-s"),
        action="append",
        default=[],
        choices=[subject.name for subject in SUBJECTS],
        help="only this one beside invokeq; may be given again",
    )
    parser.add_argument("--rounds", type=int, help=f"how often; else {Sizes.rounds}")
    parser.add_argument("--quick", action="store_true", help="small counts: does it run at all?")
    parser.add_argument("--out", type=Path, help="where the JSON goes, and the plot beside it")
    parser.add_argument("--logs", type=Path, help="keep the logs of all processes here")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
