"""When a run holds what is promised, and the line that it ends with."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from chaos.audit import Fault, Findings
from chaos.outcome import Outcome
from recmesh_jobs.states import State


@pytest.fixture
def outcome() -> Outcome:
    ends = Counter({State.SUCCEEDED: 19_997, State.CANCELLED: 1, State.EXPIRED: 1, State.FAILED: 1})
    return Outcome(
        seed=7,
        seconds=120,
        findings=Findings(accepted=20_000, states=ends, reasons=Counter(ATTEMPTS_EXHAUSTED=1)),
        stale=[],
        ill=[],
        waiting={},
        listed=20_000,
        kills=3,
        disturbances={"kill worker": 3},
        skipped=0,
        errors={"UNAVAILABLE DATABASE_UNAVAILABLE": 5},
        writes={"made": 1},
        latest=0.1,
        settled=1.0,
    )


def test_the_line_tells_all(outcome: Outcome) -> None:
    assert outcome.faults == []
    told = json.loads(outcome.line)
    assert told["ok"] is True
    asked = {"seed": 7, "accepted": 20_000, "succeeded": 19_997, "failed": 1, "expired": 1}
    asked |= {"cancelled": 1, "lost": 0, "doubled": 0, "wrong_owner": 0, "kills": 3}
    assert asked.items() <= told.items()


@pytest.mark.parametrize("fault", Fault)
def test_no_fault_is_forgiven(outcome: Outcome, fault: Fault) -> None:
    outcome.findings.add(fault, "request-1", ["it is so"])
    assert outcome.faults == [f"{fault}: request-1: it is so"]
    told = json.loads(outcome.line)
    assert (told[fault], told["ok"]) == (1, False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"stale": ["item alien"]},
        {"ill": ["worker-0"]},
        {"waiting": {"index": 1}},
        {"listed": None},
        {"seconds": 121.0},
        {"errors": {"INTERNAL INTERNAL": 1}},
        {"errors": {"UNAVAILABLE DATABASE_UNAVAILABLE without RetryInfo": 1}},
        {"errors": {"UNKNOWN by the transport": 1}},
    ],
)
def test_what_is_promised_besides_is_looked_at(outcome: Outcome, wrong: dict[str, object]) -> None:
    found = replace(outcome, **wrong)  # type: ignore[arg-type]
    assert len(found.faults) == 1
    assert json.loads(found.line)["ok"] is False
