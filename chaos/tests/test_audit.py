"""The audit sees each fault: made-up ledgers and rows, right but for one thing."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from uuid import UUID

import pytest

from chaos.asking import ADMIN, CATALOG, PARENT, Asked, item_name
from chaos.audit import Fault, Findings, audit
from chaos.fitting import Facts
from chaos.ledger import Entry, Ledger
from chaos.rows import JobRow, Tables
from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.events.v1.job_events_pb2 import Answer
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation, Result
from recmesh_jobs.intake import request_key
from recmesh_jobs.states import State
from recmesh_kit.ids import uuid7

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
CREATED, STARTED, ENDED = (NOW + dt.timedelta(seconds=n) for n in range(3))
ALIEN, SOLARIS, STALKER = map(item_name, ("alien", "solaris", "stalker"))
ATTEMPTS = 5
PRINCIPAL = "admin-id"


class World:
    """A ledger and tables that agree, to be falsified."""

    def __init__(self) -> None:
        self.ledger = Ledger(Facts({}, {}))
        self.jobs: dict[UUID, JobRow] = {}
        self.requests: dict[bytes, frozenset[UUID]] = {}
        self.dead_letters: dict[UUID, int] = {}

    def accept(self, number: int = 1, state: State = State.SUCCEEDED) -> tuple[Entry, JobRow]:
        """A request that was told QUEUED, and its job."""
        asked = Asked(
            request_id=f"r{number}",
            caller=ADMIN,
            user=f"person-{number}",
            session=f"visit-{number}",
            query=Query(item=ALIEN, limit=3),
            deadline=None,
        )
        entry = self.ledger.open(asked, PRINCIPAL, asked.user)
        row = JobRow(
            id=uuid7(),
            catalog=CATALOG,
            user=asked.user,
            session=asked.session,
            state=state,
            query=asked.query.SerializeToString(deterministic=True),
            attempts=1,
            create_time=CREATED,
            start_time=STARTED,
            end_time=ENDED,
        )
        if state is State.SUCCEEDED:
            row = replace(row, answer=answer(SOLARIS).SerializeToString())
        if state is State.FAILED:
            row = replace(row, error_reason=reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED)
            self.dead_letters[row.id] = reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED
        self.store(row)
        self.requests[request_key(CATALOG, PRINCIPAL, asked.request_id)] = frozenset({row.id})
        self.ledger.hear(entry, told(entry, row, State.QUEUED))
        return entry, row

    def store(self, row: JobRow) -> None:
        self.jobs[row.id] = row

    def audit(self) -> Findings:
        tables = Tables(self.jobs, self.requests, self.dead_letters)
        return audit(self.ledger, tables, ATTEMPTS)


def answer(*items: str) -> Answer:
    found = Answer(version=1, resolved_item=ALIEN)
    found.results.extend(Result(item=item) for item in items)
    return found


def told(entry: Entry, row: JobRow, state: State | None = None) -> Recommendation:
    """What a caller is told of a job."""
    state = state or row.state
    message = Recommendation(
        name=f"{PARENT}/recommendations/{row.id}",
        user=entry.owner,
        session=entry.asked.session,
        query=entry.asked.query,
        state=Recommendation.State.ValueType(state),
    )
    if state.ended:
        message.attempt_count = row.attempts
        message.start_time.FromDatetime(STARTED)
        message.end_time.FromDatetime(ENDED)
    if state is State.SUCCEEDED:
        stored = Answer.FromString(row.answer or b"")
        message.results.extend(stored.results)
        message.resolved_item = stored.resolved_item
    return message


@pytest.fixture
def world() -> World:
    return World()


def faults(world: World) -> dict[Fault, int]:
    return dict(world.audit().faults)


def test_what_agrees_has_no_fault(world: World) -> None:
    for number, state in enumerate(State):
        if state.ended:
            entry, row = world.accept(number, state)
            if state is not State.FAILED:
                world.ledger.hear(entry, told(entry, row))
    found = world.audit()
    assert dict(found.faults) == {}
    assert found.accepted == 4
    assert found.overdue == 1
    assert {state: found.states[state] for state in State if state.ended} == dict.fromkeys(
        (s for s in State if s.ended), 1
    )
    assert dict(found.reasons) == {"ATTEMPTS_EXHAUSTED": 1}


def test_an_accepted_job_without_a_row_is_lost(world: World) -> None:
    _, row = world.accept()
    del world.jobs[row.id]
    found = world.audit()
    assert dict(found.faults) == {Fault.LOST: 1}
    assert found.accepted == 1


def test_a_job_that_only_the_request_id_remembers_is_lost_too(world: World) -> None:
    entry, row = world.accept()
    entry.names.clear()
    entry.asked = replace(entry.asked, deadline=0.1)
    entry.refusals.append("INVALID_ARGUMENT INVALID_FIELD")
    del world.jobs[row.id]
    assert faults(world) == {Fault.LOST: 1}


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING])
def test_a_job_without_an_end_is_lost(world: World, state: State) -> None:
    _, row = world.accept()
    world.store(replace(row, state=state, end_time=None, answer=None))
    assert faults(world) == {Fault.LOST: 1}


def test_two_jobs_told_for_one_request_are_doubled(world: World) -> None:
    entry, row = world.accept()
    twin = replace(row, id=uuid7())
    world.store(twin)
    world.ledger.hear(entry, told(entry, twin, State.QUEUED))
    assert faults(world) == {Fault.DOUBLED: 1}


def test_two_jobs_stored_for_one_request_are_doubled(world: World) -> None:
    entry, row = world.accept()
    twin = replace(row, id=uuid7())
    world.store(twin)
    key = request_key(CATALOG, PRINCIPAL, entry.asked.request_id)
    world.requests[key] = frozenset({row.id, twin.id})
    assert faults(world) == {Fault.DOUBLED: 1}


def test_a_job_that_no_request_made_is_doubled(world: World) -> None:
    _, row = world.accept()
    world.store(replace(row, id=uuid7()))
    assert faults(world) == {Fault.DOUBLED: 1}


def test_two_answers_told_of_one_job_are_doubled(world: World) -> None:
    entry, row = world.accept()
    world.ledger.hear(entry, told(entry, row))
    other = replace(row, answer=answer(STALKER).SerializeToString())
    world.ledger.hear(entry, told(entry, other))
    assert faults(world) == {Fault.DOUBLED: 1}


def test_two_ends_told_of_one_job_are_doubled(world: World) -> None:
    entry, row = world.accept()
    world.ledger.hear(entry, told(entry, row))
    world.ledger.hear(entry, told(entry, row, State.CANCELLED))
    assert faults(world) == {Fault.DOUBLED: 1}


def test_a_row_that_is_not_what_was_told_is_doubled(world: World) -> None:
    entry, row = world.accept()
    world.ledger.hear(entry, told(entry, row))
    world.store(replace(row, answer=answer(STALKER).SerializeToString()))
    assert faults(world) == {Fault.DOUBLED: 1}


def test_the_same_answer_of_a_second_worker_is_doubled(world: World) -> None:
    entry, row = world.accept()
    world.ledger.hear(entry, told(entry, row))
    world.store(replace(row, attempts=2, end_time=ENDED + dt.timedelta(seconds=1)))
    assert faults(world) == {Fault.DOUBLED: 1}


def test_a_dead_letter_beside_a_success_is_doubled(world: World) -> None:
    _, row = world.accept()
    world.dead_letters[row.id] = reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED
    assert faults(world) == {Fault.DOUBLED: 1}


def test_a_job_that_is_unfinished_after_its_end_was_told_is_doubled(world: World) -> None:
    entry, row = world.accept()
    world.ledger.hear(entry, told(entry, row))
    assert entry.ended_at is not None
    world.ledger.hear(entry, told(entry, row, State.QUEUED), began=entry.ended_at - 1)
    assert faults(world) == {}
    world.ledger.hear(entry, told(entry, row, State.QUEUED), began=entry.ended_at + 1)
    assert faults(world) == {Fault.DOUBLED: 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"user": "somebody"},
        {"catalog": "films"},
        {"session": "visit-2"},
        {"query": Query(item=STALKER, limit=3).SerializeToString()},
    ],
)
def test_a_row_for_somebody_else_is_of_the_wrong_owner(
    world: World, wrong: dict[str, object]
) -> None:
    _, row = world.accept()
    world.store(replace(row, **wrong))  # type: ignore[arg-type]
    assert faults(world) == {Fault.WRONG_OWNER: 1}


def test_an_answer_for_somebody_else_is_of_the_wrong_owner(world: World) -> None:
    entry, row = world.accept()
    wrong = told(entry, row)
    wrong.user = "somebody"
    world.ledger.hear(entry, wrong)
    assert faults(world) == {Fault.WRONG_OWNER: 1}


def test_a_job_that_another_account_was_shown_is_of_the_wrong_owner(world: World) -> None:
    _, row = world.accept()
    world.ledger.pried.append(str(row.id))
    assert faults(world) == {Fault.WRONG_OWNER: 1}


@pytest.mark.parametrize(
    "reason", [None, reasons.ERROR_REASON_UNSPECIFIED, reasons.ERROR_REASON_INTERNAL]
)
def test_a_failure_without_a_reason_is_untyped(world: World, reason: int | None) -> None:
    _, row = world.accept(state=State.FAILED)
    world.store(replace(row, error_reason=reason))
    assert faults(world) == {Fault.UNTYPED: 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": ATTEMPTS + 1},
        {"leased": True},
        {"answer": None},
        {"start_time": None},
        {"start_time": ENDED + dt.timedelta(seconds=1)},
        {"attempts": 0},
    ],
)
def test_a_row_that_contradicts_itself_is_broken(world: World, wrong: dict[str, object]) -> None:
    _, row = world.accept()
    world.store(replace(row, **wrong))  # type: ignore[arg-type]
    assert faults(world) == {Fault.BROKEN: 1}


def test_a_failure_without_a_dead_letter_is_broken(world: World) -> None:
    world.accept(state=State.FAILED)
    world.dead_letters.clear()
    assert faults(world) == {Fault.BROKEN: 1}


def test_a_call_about_a_job_that_is_there_must_not_be_refused(world: World) -> None:
    entry, _ = world.accept()
    entry.refusals.append("NOT_FOUND RESOURCE_NOT_FOUND")
    assert faults(world) == {Fault.REFUSED: 1}


@pytest.mark.parametrize(("deadline", "found"), [(0.1, {}), (40.0, {Fault.REFUSED: 1})])
def test_only_a_deadline_that_was_short_may_have_passed(
    world: World, deadline: float, found: dict[Fault, int]
) -> None:
    entry, row = world.accept()
    entry.asked = replace(entry.asked, deadline=deadline)
    entry.names.clear()
    entry.refusals.append("INVALID_ARGUMENT INVALID_FIELD")
    del world.jobs[row.id]
    world.requests.clear()
    assert faults(world) == found


def test_a_request_of_which_nothing_was_told_is_unknown(world: World) -> None:
    entry, _ = world.accept()
    entry.names.clear()
    found = world.audit()
    assert dict(found.faults) == {Fault.UNKNOWN: 1}
    assert found.accepted == 0
