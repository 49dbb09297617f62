"""The measured systems and their settings, one entry a subject."""

import sys
from dataclasses import dataclass
from typing import Final

from bench.reporting.result_table import OURS


@dataclass(frozen=True, slots=True)
class Subject:
    """One system; `start_worker` fills in the names in braces of `worker`.

    `environment` names a folder in .cache/bench and a requirements file; None means this
    interpreter. `jobs` and `calls` take one worker process about two seconds. `few` is the
    concurrency for no-ops, above which the rate only falls; streams get one slot each.
    """

    name: str
    settings: str
    client: str
    worker: tuple[str, ...]
    environment: str | None = None
    jobs: int = 2000
    calls: int = 100
    few: int = 100
    streams: bool = True


INVOKEQ: Final = Subject(
    OURS,
    "one process, concurrency as for the peers; RQ's books, leases and readers' leases kept",
    client="bench.peers.invokeq_client",
    worker=(sys.executable, "-m", "invokeq_worker", "--pool", "main", "--config", "{config}"),
    jobs=6000,
    few=500,
)

PEERS: Final = (
    Subject(
        "rq Worker",
        "forks for each job; result kept for 10 minutes",
        client="bench.peers.rq_job",
        worker=("{bin}/rq", "worker", "-u", "{url}", "--quiet", "{queue}"),
        environment="rq",
        jobs=80,
        calls=25,
        streams=False,
    ),
    Subject(
        "rq SimpleWorker",
        "runs jobs in its own process; result kept for 10 minutes",
        client="bench.peers.rq_job",
        worker=(
            *("{bin}/rq", "worker", "-u", "{url}", "--quiet"),
            *("-w", "rq.worker.SimpleWorker", "{queue}"),
        ),
        environment="rq",
        jobs=400,
        streams=False,
    ),
    Subject(
        "celery",
        "threads pool of 16 (a place a stream), Redis broker, no results, no gossip, no events",
        client="bench.peers.celery_job",
        worker=(
            *("{bin}/celery", "-A", "bench.peers.celery_job", "worker", "-P", "threads"),
            *("-c", "{few}", "--without-gossip", "--without-mingle", "--without-heartbeat"),
            *("-l", "warning"),
        ),
        environment="celery",
        jobs=1200,
        few=16,
    ),
    Subject(
        "dramatiq",
        "one process, 16 threads (a place a stream), Redis broker, no results",
        client="bench.peers.dramatiq_job",
        worker=("{bin}/dramatiq", "bench.peers.dramatiq_job", "-p", "1", "-t", "{few}"),
        environment="dramatiq",
        jobs=4000,
        few=16,
    ),
    Subject(
        "arq",
        "polls every 10 ms (500 ms is its own choice), no results kept",
        client="bench.peers.arq_job",
        worker=(
            *("{bin}/arq", "bench.peers.arq_job.WorkerSettings"),
            *("--custom-log-dict", "bench.peers.arq_job.QUIET"),
        ),
        environment="arq",
        jobs=1500,
    ),
    Subject(
        "taskiq",
        "one process, ListQueueBroker (fastest, no acknowledgement), orjson, uvloop, no results",
        client="bench.peers.taskiq_job",
        worker=(
            *("{bin}/taskiq", "worker", "bench.peers.taskiq_job:broker", "--workers", "1"),
            *("--max-async-tasks", "{few}", "--max-prefetch", "{few}", "--log-level", "WARNING"),
        ),
        environment="taskiq",
        jobs=3000,
    ),
    Subject(
        "saq",
        "one process, uvloop, jobs kept for 10 minutes (its default)",
        client="bench.peers.saq_job",
        worker=("{bin}/saq", "--quiet", "bench.peers.saq_job.settings"),
        environment="saq",
        jobs=2500,
    ),
    Subject(
        "docket",
        "one process, state kept for 15 minutes (its default), 2,000 connections instead of 100",
        client="bench.peers.docket_job",
        worker=(
            *("{bin}/docket", "worker", "--url", "{url}?max_connections=2000"),
            *("--docket", "bench"),
            *("--tasks", "bench.peers.docket_job:tasks", "--concurrency", "{few}"),
            *("--logging-level", "WARNING"),
        ),
        environment="docket",
        jobs=2000,
    ),
)

SUBJECTS: Final = (INVOKEQ, *PEERS)
