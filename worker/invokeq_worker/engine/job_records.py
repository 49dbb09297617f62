"""How an execution ended, in RQ's words: which status, which registry, which result."""

import base64
import zlib
from enum import Enum
from typing import Final

from rq.results import Result

from invokeq.protocol.redis.rq_time import iso
from invokeq_worker.config.values import Retention
from invokeq_worker.redis.scripts import Claimed, Closing


class Ending(Enum):
    """The ways an execution ends; `registry`, `status` and result type are RQ's."""

    FINISHED = ("finished", "finished", str(Result.Type.SUCCESSFUL.value))
    FAILED = ("failed", "failed", str(Result.Type.FAILED.value))
    STOPPED = ("failed", "stopped", str(Result.Type.FAILED.value))
    CANCELED = ("canceled", "canceled", "")

    @property
    def registry(self) -> str:
        return self.value[0]

    @property
    def status(self) -> str:
        return self.value[1]

    @property
    def result_type(self) -> str:
        return self.value[2]


_SUCCESSFUL: Final = frozenset({Ending.FINISHED, Ending.CANCELED})


def close(
    job: Claimed,
    ending: Ending,
    *,
    started: float,
    ended: float,
    retention: Retention,
    exception: str = "",
) -> Closing:
    """Say how RQ's books on one execution are to be closed."""
    packed = zlib.compress(exception.encode()) if exception else b""
    return Closing(
        lane=job.lane,
        id=job.id,
        execution=job.execution,
        registry=ending.registry,
        status=ending.status,
        result_type=ending.result_type,
        started=started,
        ended=ended,
        ended_iso=iso(ended),
        ttl=retention.result_ttl if ending in _SUCCESSFUL else retention.failure_ttl,
        exception=packed,
        exception_b64=base64.b64encode(packed),
    )
