"""Jobs as they are asked for, and as they are the worker's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from recmesh_jobs.history import Event
from recmesh_jobs.history_repository import Person
from recmesh_jobs.job import Claim, Failure
from recmesh_jobs.messages import Dispatched
from recmesh_kit.broker import Delivery
from recmesh_worker.engine.query import EngineQuery, SeedKind


@dataclass(frozen=True, slots=True)
class Asked:
    """A job as its message tells it.

    Attributes:
        delivery: The message.
        job: What it says.
        query: What the engine is asked; a failure when that is nothing that this worker knows.
    """

    delivery: Delivery
    job: Dispatched
    query: EngineQuery | Failure

    @property
    def kind(self) -> str:
        """What its query starts from, for the metrics."""
        return self.query.kind.value if isinstance(self.query, EngineQuery) else "unknown"

    @property
    def needs_history(self) -> bool:
        """Whether it matters what the person did: as a seed, or as what they have seen."""
        query = self.query
        return isinstance(query, EngineQuery) and (
            query.kind is SeedKind.HISTORY or not query.include_seen
        )


@dataclass(frozen=True, slots=True)
class Task:
    """A job that is ours: what was asked, the lease, and what the engine is asked, the history included."""

    asked: Asked
    claim: Claim
    query: EngineQuery | Failure


def task_of(
    asked: Asked, claim: Claim, histories: Mapping[Person, tuple[Event, ...] | Failure]
) -> Task:
    """A job that was claimed, with what its person did; a failure where that could not be read."""
    query = asked.query
    if isinstance(query, EngineQuery) and asked.needs_history:
        history = histories.get((asked.job.catalog, asked.job.user))
        if isinstance(history, Failure):
            query = history
        elif history:
            query = replace(query, history=history)
    return Task(asked, claim, query)


def by_catalog(tasks: Sequence[Task]) -> Mapping[str, list[tuple[Task, EngineQuery]]]:
    """The tasks that the engine can be asked, by catalog, each with what it is asked."""
    found = defaultdict(list)
    for task in tasks:
        if isinstance(task.query, EngineQuery):
            found[task.asked.job.catalog].append((task, task.query))
    return found


def users(tasks: Iterable[Task]) -> Iterator[str]:
    """Whom jobs are for."""
    return (task.asked.job.user for task in tasks)
