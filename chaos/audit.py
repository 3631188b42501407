"""What callers were told against what is stored: nothing lost, nothing doubled, nothing with somebody else."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from chaos.asking import CATALOG
from chaos.ledger import Entry, Ledger
from chaos.rows import JobRow, Tables
from recmesh.common.v1.error_reason_pb2 import ErrorReason
from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs.intake import request_key
from recmesh_jobs.states import State

_UNTYPED = (None, ErrorReason.ERROR_REASON_UNSPECIFIED, ErrorReason.ERROR_REASON_INTERNAL)
_DEADLINE_PASSED = "INVALID_ARGUMENT INVALID_FIELD"
_CLOCKS = dt.timedelta(seconds=1)
"""A job's creation is by its recommender's clock, all else by the database's."""


class Fault(StrEnum):
    """What must not be."""

    LOST = "lost"
    """A job without a row or without an end."""
    DOUBLED = "doubled"
    """Two jobs, two ends, or an end that was told and is not the row's."""
    WRONG_OWNER = "wrong_owner"
    """Somebody else's, or the answer to something else."""
    UNTYPED = "untyped"
    """A failure that does not say why."""
    BROKEN = "broken"
    """A row that contradicts itself."""
    REFUSED = "refused"
    """A call about a job that is there, or about a sound request, that was refused for good."""
    UNKNOWN = "unknown"
    """A request whose caller was never told what became of it."""


@dataclass(slots=True)
class Findings:
    """What the audit found.

    Attributes:
        states: How many of the accepted jobs ended in each state.
        overdue: How many of them ended as EXPIRED although they had time.
        reasons: Why jobs failed, by the name of the reason.
        faults: How many there are of each kind; a request or job counts once for each.
        examples: Some of them, in words.
    """

    accepted: int = 0
    states: Counter[State] = field(default_factory=Counter)
    overdue: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    faults: Counter[Fault] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, fault: Fault, what: object, texts: Iterable[str]) -> None:
        """Counts `what` once when there is something to say against it."""
        if said := list(texts):
            self.faults[fault] += 1
            if self.faults[fault] <= _EXAMPLES:
                self.examples.append(f"{fault}: {what}: {'; '.join(said[:3])}")


_EXAMPLES = 20


def audit(ledger: Ledger, tables: Tables, attempt_limit: int) -> Findings:
    """Compares.

    Args:
        ledger: What callers were told.
        tables: What is stored, once nothing is in hand any more.
        attempt_limit: Attempts after which a job is given up.
    """
    found = Findings()
    expected: set[UUID] = set()
    for request_id, entry in ledger.entries.items():
        key = request_key(CATALOG, entry.principal, request_id)
        stored = tables.requests.get(key, frozenset())
        told = {_id(name) for name in entry.names}
        ids = told | stored
        expected |= ids
        found.add(Fault.UNKNOWN, request_id, [] if entry.known else ["nobody said"])
        found.add(Fault.DOUBLED, request_id, _doubled(entry, ids, tables))
        found.add(Fault.WRONG_OWNER, request_id, _wrong_owner(entry, ids, tables))
        found.add(Fault.LOST, request_id, _lost(ids, tables))
        found.add(Fault.REFUSED, request_id, _refused(entry))
        if told:
            found.accepted += 1
            for row in (tables.jobs[id_] for id_ in list(told)[:1] if id_ in tables.jobs):
                found.states[row.state] += 1
                found.overdue += row.state is State.EXPIRED and not entry.asked.is_short
    for name in ledger.pried:
        found.add(Fault.WRONG_OWNER, name, ["it was shown to another account"])
    for id_, row in tables.jobs.items():
        unexplained = [] if id_ in expected else ["no request made it"]
        found.add(Fault.DOUBLED, id_, unexplained)
        if row.state is State.FAILED:
            found.reasons[_reason(row.error_reason)] += 1
        found.add(Fault.UNTYPED, id_, _untyped(row))
        found.add(Fault.BROKEN, id_, _broken(row, tables, attempt_limit))
    return found


def _id(name: str) -> UUID:
    return UUID(name.rpartition("/")[2])


def _lost(ids: Iterable[UUID], tables: Tables) -> Iterator[str]:
    for id_ in ids:
        row = tables.jobs.get(id_)
        if row is None:
            yield f"{id_} has no row"
        elif not row.state.ended or row.end_time is None:
            yield f"{id_} is {row.state.name} still"


def _refused(entry: Entry) -> Iterator[str]:
    for refusal in entry.refusals:
        # Its deadline passed before there was a job.
        if not (entry.asked.is_short and refusal == _DEADLINE_PASSED and not entry.names):
            yield refusal


def _doubled(entry: Entry, ids: set[UUID], tables: Tables) -> Iterator[str]:
    if len(ids) > 1:
        yield f"jobs {', '.join(map(str, sorted(ids)))}"
    if len(entry.ends) > 1:
        yield f"{len(entry.ends)} different ends were told: {_states(entry)}"
    if entry.returns:
        yield f"it was unfinished again, {entry.returns} times, after its end was told"
    for id_ in ids:
        row = tables.jobs.get(id_)
        if row is not None and any(end != row.end for end in entry.ends):
            yield f"{id_} is {row.state.name}, and was told to be {_states(entry)} otherwise"
        if id_ in tables.dead_letters and (row is None or row.state is not State.FAILED):
            yield f"{id_} is a dead letter, and {row.state.name if row else 'gone'}"


def _states(entry: Entry) -> str:
    return ", ".join(State(state).name for state in entry.ends.values())


def _wrong_owner(entry: Entry, ids: set[UUID], tables: Tables) -> Iterator[str]:
    yield from dict.fromkeys(entry.misfits)
    for id_ in ids:
        row = tables.jobs.get(id_)
        if row is None:
            continue
        if row.catalog != CATALOG:
            yield f"{id_} is of catalog {row.catalog}"
        if row.user != entry.owner:
            yield f"{id_} is for {row.user}, not {entry.owner}"
        if row.session != entry.asked.session:
            yield f"{id_} is of {row.session}, not {entry.asked.session}"
        if Query.FromString(row.query) != entry.asked.query:
            yield f"{id_} asks something else"


def _untyped(row: JobRow) -> Iterator[str]:
    if row.state is State.FAILED and row.error_reason in _UNTYPED:
        yield f"failed as {_reason(row.error_reason)}: {row.error_message}"


def _reason(reason: int | None) -> str:
    if reason is None:
        return "none"
    if reason not in ErrorReason.values():
        return str(reason)
    return ErrorReason.Name(ErrorReason.ValueType(reason)).removeprefix("ERROR_REASON_")


def _broken(row: JobRow, tables: Tables, attempt_limit: int) -> Iterator[str]:
    if not 0 <= row.attempts <= attempt_limit:
        yield f"{row.attempts} attempts, of {attempt_limit}"
    if row.state.ended and row.leased:
        yield f"{row.state.name} and leased"
    if row.state is State.SUCCEEDED and row.answer is None:
        yield "succeeded without an answer"
    if row.state is not State.SUCCEEDED and row.answer is not None:
        yield f"{row.state.name} with an answer"
    if row.state is State.FAILED and row.id not in tables.dead_letters:
        yield "failed, and no dead letter"
    if row.state in (State.SUCCEEDED, State.FAILED):
        if row.attempts < 1 or row.start_time is None:
            yield f"{row.state.name} without having been claimed"
        elif row.end_time is not None and not (
            row.create_time - _CLOCKS <= row.start_time <= row.end_time
        ):
            yield "it ended before it was claimed"
