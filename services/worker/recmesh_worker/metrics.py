"""What is measured of a worker: its jobs, stage by stage, and how far its memory is behind."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs.job import Claim, Ended, Failure
from recmesh_jobs.messages import Dispatched
from recmesh_jobs.states import State
from recmesh_kit.telemetry.instruments import Instruments, Timer
from recmesh_worker.engine.query import Answer

Stage = Literal["history", "claim", "encode", "rank", "write", "reply"]
STAGES: Sequence[Stage] = ("history", "claim", "encode", "rank", "write", "reply")
MOST_MODELS = 20
"""Models that are told apart; a deployment that has had more shows the rest as `other`."""
UNSURE = 0.25
"""Confidence below which an answer is counted as unsure: what the command line calls so."""
_REASONS = (
    reasons.ERROR_REASON_INTERNAL,
    reasons.ERROR_REASON_INVALID_FILTER,
    reasons.ERROR_REASON_VERSION_UNSUPPORTED,
    reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED,
)
"""Why jobs fail. These, and the attempts, are there from the start: only then is the first of them an increase."""
_ATTEMPTS = ("1", "2", "3")
_MORE = "4+"
_WORD = {True: "true", False: "false"}


class JobInstruments:
    """Measures the jobs of a worker, of all lanes."""

    def __init__(self, instruments: Instruments) -> None:
        self.stages = instruments.seconds(
            "recmesh_job_stage_seconds",
            "What a stage of a batch of jobs takes.",
            ("lane", "stage"),
        )
        self.sizes = instruments.sizes(
            "recmesh_job_batch_size", "Jobs that are taken together.", ("lane",)
        )
        self.queued = instruments.seconds(
            "recmesh_job_queue_seconds", "From a job's admission to its claim.", ("lane", "kind")
        )
        self.ended = instruments.seconds(
            "recmesh_job_seconds",
            "From a job's admission to its end, as it is stored.",
            ("lane", "kind", "model", "state"),
        )
        self.attempts = instruments.counter(
            "recmesh_job_attempts_total",
            "Jobs claimed, by which attempt it is.",
            ("lane", "attempt"),
        )
        self.answers = instruments.counter(
            "recmesh_answers_total",
            "Jobs that were answered, by what was answered instead of what was asked.",
            ("kind", "fallback", "filter_relaxed", "unsure"),
        )
        self.dead = instruments.counter(
            "recmesh_dead_letters_total", "Jobs that have failed for good.", ("reason",)
        )
        for reason in _REASONS:
            self.dead.of(reasons.ErrorReason.Name(reason))

    def of(self, *, bulk: bool) -> JobMetrics:
        """Those of one lane."""
        return JobMetrics(self, "bulk" if bulk else "interactive")


class JobMetrics:
    """The jobs of one lane. Made by `JobInstruments`.

    Args:
        instruments: Where they are measured.
        lane: `interactive` (what is tried again alone is among them) or `bulk`.
    """

    def __init__(self, instruments: JobInstruments, lane: str) -> None:
        self._instruments = instruments
        self._lane = lane
        self._models: set[str] = set()
        self._stages = {stage: instruments.stages.of(lane, stage) for stage in STAGES}
        self._sizes = instruments.sizes.of(lane)
        for attempt in (*_ATTEMPTS, _MORE):
            instruments.attempts.of(lane, attempt)

    @classmethod
    def off(cls) -> JobMetrics:
        """Metrics that record nothing."""
        return JobInstruments(Instruments()).of(bulk=False)

    def batch(self, jobs: int) -> None:
        """So many jobs were taken together."""
        self._sizes.observe(jobs)

    def stage(self, stage: Stage) -> Timer:
        """Measures a stage of a batch: `with metrics.stage("claim"):`."""
        return Timer(self._stages[stage])

    def claimed(self, job: Dispatched, kind: str, claim: Claim) -> None:
        """A job is the worker's now.

        Args:
            job: The job.
            kind: What its query starts from.
            claim: The lease.
        """
        waited = (claim.start_time - job.create_time).total_seconds()
        # Two clocks may differ.
        self._instruments.queued.of(self._lane, kind).observe(max(0.0, waited))
        attempt = str(claim.attempt)
        attempt = attempt if attempt in _ATTEMPTS else _MORE
        self._instruments.attempts.of(self._lane, attempt).inc()

    def ended(
        self,
        job: Dispatched,
        kind: str,
        ended: Ended,
        answer: Answer | None = None,
        failure: Failure | None = None,
    ) -> None:
        """What came of a job is stored.

        Args:
            job: The job.
            kind: What its query starts from.
            ended: Its end.
            answer: That of the engine, if it came so far.
            failure: Why it has none, if it has failed.
        """
        took = (ended.end_time - job.create_time).total_seconds()
        seconds = self._instruments.ended
        model = self._known(answer.model) if answer else ""
        seconds.of(self._lane, kind, model, ended.state.name.lower()).observe(max(0.0, took))
        if ended.state is State.FAILED and failure:
            reason = reasons.ErrorReason.Name(reasons.ErrorReason.ValueType(failure.reason))
            self._instruments.dead.of(reason).inc()
        if ended.state is State.SUCCEEDED and answer:
            relaxed, unsure = _WORD[answer.filter_relaxed], _WORD[answer.confidence < UNSURE]
            self._instruments.answers.of(kind, answer.fallback.value, relaxed, unsure).inc()

    def _known(self, model: str) -> str:
        if model not in self._models:
            if len(self._models) >= MOST_MODELS:
                return "other"
            self._models.add(model)
        return model


class ReadModelMetrics:
    """How far the memory is behind the read model."""

    def __init__(self, instruments: Instruments) -> None:
        self._behind = instruments.gauge(
            "recmesh_read_model_lag_items",
            "Changes that the memory did not have when it was last looked, of the catalog that is furthest behind.",
        ).of()
        self._caught_up_at = time.monotonic()
        instruments.reading(
            "recmesh_read_model_age_seconds",
            "Since the memory last had all that the read model had.",
            lambda: time.monotonic() - self._caught_up_at,
        )

    def behind(self, items: int) -> None:
        """So many changes are not taken over yet."""
        self._behind.set(items)

    def caught_up(self) -> None:
        """All changes that were there are taken over."""
        self._caught_up_at = time.monotonic()
