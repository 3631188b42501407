"""What is measured of the recommender beside its calls: jobs that go in, and whether anybody takes them."""

from __future__ import annotations

import math
from typing import Literal

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs.repository import Unfinished
from recmesh_kit.broker import Depth
from recmesh_kit.telemetry.instruments import Instruments, Timer

Step = Literal["store", "publish"]


class JobMetrics:
    """Jobs on their way to the workers."""

    def __init__(self, instruments: Instruments) -> None:
        steps = instruments.seconds(
            "recmesh_intake_step_seconds",
            "What it takes to store jobs that came together, and to publish them.",
            ("step",),
        )
        self._steps = {"store": steps.of("store"), "publish": steps.of("publish")}
        self._sizes = instruments.sizes(
            "recmesh_intake_batch_size", "Jobs that are stored together."
        ).of()
        unfinished = instruments.gauge(
            "recmesh_jobs_unfinished", "Jobs of the deployment that have not ended.", ("lane",)
        )
        self._interactive, self._bulk = unfinished.of("interactive"), unfinished.of("bulk")
        self._consumers = instruments.gauge(
            "recmesh_queue_consumers", "Workers that consume a queue.", ("queue",)
        )
        self._messages = instruments.gauge(
            "recmesh_queue_messages", "Messages that wait in a queue.", ("queue",)
        )
        dead = instruments.counter(
            "recmesh_dead_letters_total", "Jobs that have failed for good.", ("reason",)
        )
        # What the sweep gives up has no other.
        self._dead = dead.of(reasons.ErrorReason.Name(reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED))
        swept = instruments.counter(
            "recmesh_jobs_swept_total",
            "Jobs that nobody looked after: past their deadline, or their lease had run out.",
            ("end",),
        )
        self._expired = swept.of("expired")
        self._given_up = swept.of("given_up")
        self._tried_again = swept.of("tried_again")
        self._relayed = instruments.counter(
            "recmesh_jobs_relayed_total", "Messages of jobs that were written anew from rows."
        ).of()
        self._limit = instruments.gauge(
            "recmesh_admission_limit_jobs",
            "Unfinished jobs of the deployment at which no more are taken: of all, and bulk's share.",
            ("lane",),
        )

    def step(self, step: Step) -> Timer:
        """Measures a step: `with metrics.step("store"):`."""
        return Timer(self._steps[step])

    def batch(self, jobs: int) -> None:
        """So many jobs are stored together."""
        self._sizes.observe(jobs)

    def unfinished(self, counted: Unfinished) -> None:
        """So many jobs have not ended."""
        self._interactive.set(counted.jobs - counted.bulk)
        self._bulk.set(counted.bulk)

    def queue(self, name: str, depth: Depth | None) -> None:
        """How a queue stands; None when nobody knows."""
        self._messages.of(name).set(math.nan if depth is None else depth.messages)
        self._consumers.of(name).set(math.nan if depth is None else depth.consumers)

    def limits(self, jobs: int, bulk: int) -> None:
        """So many unfinished jobs are admitted, of which so many may be bulk."""
        self._limit.of("all").set(jobs)
        self._limit.of("bulk").set(bulk)

    def swept(self, *, expired: int, given_up: int, tried_again: int) -> None:
        """So many jobs were past their deadline; or their workers were gone, for the last time or not."""
        self._expired.inc(expired)
        self._given_up.inc(given_up)
        self._dead.inc(given_up)
        self._tried_again.inc(tried_again)

    def relayed(self, jobs: int) -> None:
        """So many jobs are dispatched again."""
        self._relayed.inc(jobs)
