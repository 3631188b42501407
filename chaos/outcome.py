"""What came of a run: whether it holds what is promised, and the line that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaos.audit import Fault, Findings
from recmesh_jobs.states import State

LEAST_RATE = 20_000 / 120
"""Accepted jobs a second: 20,000 in a run of the usual length, and in proportion in another."""
_CALL_DEFECTS = ("INTERNAL INTERNAL", "UNKNOWN", "InternalError", "without RetryInfo")
"""Parts of answers that no caller should ever get, whatever is away."""
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run.

    Attributes:
        seed: Of the run.
        seconds: How long jobs were asked for.
        findings: Of the audit.
        stale: What the read model lacks.
        ill: Members that did not come back.
        waiting: Messages that were left, by queue.
        listed: Jobs that the recommenders list in the end; None when they did not answer.
        kills: Processes that were ended.
        disturbances: How many there were of each kind.
        skipped: Those that were left out.
        errors: What calls were answered with instead, by code and reason.
        writes: Changes of the catalog, by kind.
        latest: By how many seconds a request began too late, at the most.
        settled: Seconds until all had ended.
    """

    seed: int
    seconds: float
    findings: Findings
    stale: Sequence[str]
    ill: Sequence[str]
    waiting: Mapping[str, int]
    listed: int | None
    kills: int
    disturbances: Mapping[str, int]
    skipped: int
    errors: Mapping[str, int]
    writes: Mapping[str, int]
    latest: float
    settled: float

    @property
    def faults(self) -> list[str]:
        """What is wrong, in words; empty when the run holds what is promised."""
        found = list(self.findings.examples)
        found += [f"stale: {one}" for one in self.stale[:_SHOWN]]
        found += [f"{name} did not come back" for name in self.ill]
        found += [f"{count} messages are left in {name}" for name, count in self.waiting.items()]
        found += [
            f"{count} calls were answered with {what}"
            for what, count in self.errors.items()
            if any(part in what for part in _CALL_DEFECTS)
        ]
        if self.listed is None:
            found.append("the recommenders did not list their jobs")
        if self.findings.accepted < (least := LEAST_RATE * self.seconds):
            found.append(f"{self.findings.accepted} jobs were accepted, not {least:.0f}")
        return found

    @property
    def line(self) -> str:
        """The JSON object."""
        found = self.findings
        record: dict[str, object] = {
            "benchmark": "chaos",
            "seed": self.seed,
            "seconds": self.seconds,
            "accepted": found.accepted,
            **{state.name.lower(): found.states[state] for state in State if state.ended},
            **{str(fault): found.faults[fault] for fault in Fault},
            "overdue": found.overdue,
            "stale": len(self.stale),
            "kills": self.kills,
            "disturbances": dict(sorted(self.disturbances.items())),
            "skipped": self.skipped,
            "reasons": dict(found.reasons),
            "errors": dict(self.errors),
            "writes": dict(self.writes),
            "listed": self.listed,
            "latest_s": round(self.latest, 1),
            "settled_s": round(self.settled, 1),
            "ok": not self.faults,
        }
        return json.dumps(record)
