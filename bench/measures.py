"""How it is measured. Each figure is taken in rounds, subject by subject in turn."""

import time

import redis

from bench.subjects import Subject

POLL_SECONDS = 0.002
"""How often the registry is looked at while jobs are counted."""


def ping_ms(url: str, times: int = 500) -> list[float]:
    """Round trips of PING, in ms: what this machine and server can do at all."""
    with redis.Redis.from_url(url, protocol=2) as client:
        return [_ping(client) for _ in range(times)]


def latency_ms(subject: Subject, times: int) -> list[float]:
    """From enqueueing to the first chunk in the reader's hand, one at a time, in ms."""
    taken: list[float] = []
    for _ in range(times):
        begun = time.perf_counter()
        subject.first_chunk()
        taken.append((subject.took - begun) * 1000)
    return taken


def jobs_a_second(subject: Subject, jobs: int) -> float:
    """Jobs that one worker finishes a second, books closed, from a queue that is full already."""
    subject.suspend()
    subject.fill(jobs)
    before = subject.finished()
    subject.resume()
    while subject.finished() == before:
        time.sleep(POLL_SECONDS)
    begun, first = time.perf_counter(), subject.finished()
    while subject.finished() < before + jobs:
        time.sleep(POLL_SECONDS)
    return (before + jobs - first) / (time.perf_counter() - begun)


def percentile(values: list[float], share: float) -> float:
    """Give the value below which `share` of all lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _ping(client: redis.Redis) -> float:
    begun = time.perf_counter()
    client.execute_command("PING")
    return (time.perf_counter() - begun) * 1000
