"""The runs of one worker process: start, stop, drain."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from invokeq_worker.attempts.context import RunContext
from invokeq_worker.attempts.finalize import Ending
from invokeq_worker.attempts.run import Run
from invokeq_worker.engine.commands import EarlyCancels
from invokeq_worker.redis.scripts import Claimed

log: Final = structlog.get_logger(__name__)


class ActiveRuns:
    """The unfinished runs by request id.

    `on_start` is called with the job of each new run, `on_end` at the end of each run.
    """

    def __init__(
        self,
        context: RunContext,
        on_start: Callable[[Claimed], None],
        on_end: Callable[[], None],
    ) -> None:
        self._context = context
        self._on_start = on_start
        self._on_end = on_end
        self._runs: dict[str, Run] = {}
        self._early = EarlyCancels()

    @property
    def by_id(self) -> Mapping[str, Run]:
        """The runs by request id; the mapping changes as runs start and end."""
        return self._runs

    def start(self, job: Claimed) -> None:
        """Start a run for a claimed job."""
        run = Run(job, self._context)
        # A cancel is published at most once, and may overtake the reply of the claim.
        reason = self._early.take(job.id)
        if reason is not None:
            run.cancel(reason)
        self._on_start(job)
        self._runs[job.id] = run
        run.task = asyncio.get_running_loop().create_task(run.execute())
        run.task.add_done_callback(lambda _: self._end(run))

    def cancel(self, request_id: str, reason: str) -> None:
        """Cancel a run, or remember the cancel for a claim on the way."""
        run = self._runs.get(request_id)
        if run is None:
            self._early.add(request_id, reason)
        else:
            run.cancel(reason)

    def stop(self, request_id: str) -> None:
        """Stop a run as RQ's stop command asks for: the job counts as failed."""
        run = self._runs.get(request_id)
        if run is None:
            log.warning("stop ignored, job not running here", request_id=request_id)
        else:
            run.cancel("operator", Ending.STOPPED)

    async def drain(self, worker: str, grace: float, hurry: asyncio.Event) -> None:
        """Wait `grace` seconds, or until `hurry`, for the runs to end; then end the rest.

        Runs without output are requeued, all others are cancelled.
        """
        tasks = {run.task for run in self._runs.values() if run.task is not None}
        if not tasks:
            return
        log.info("draining", worker=worker, running=len(tasks), grace=grace)
        hurried = asyncio.create_task(hurry.wait())
        gathered = asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait({hurried, gathered}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        for run in list(self._runs.values()):
            if not run.requeue():
                run.cancel("shutdown")
        await gathered

    def _end(self, run: Run) -> None:
        # A job that was requeued can be claimed again before the callback of its first run.
        if self._runs.get(run.job.id) is run:
            del self._runs[run.job.id]
        self._on_end()
