"""What callers saw: of each request id the jobs that it was told to be, and every end that was ever told of them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from chaos.asking import Asked
from chaos.fitting import Facts, end_of_told, misfits
from recmesh.recommender.v1.recommendation_pb2 import Recommendation

_FIRST_END = Recommendation.STATE_SUCCEEDED


@dataclass(slots=True)
class Entry:
    """What was told of one request id.

    Attributes:
        asked: What was asked.
        principal: The id of whoever asked.
        owner: For whom.
        names: The jobs that it was told to be: one, unless something is wrong.
        ends: Digest of an end to its state: one, unless something is wrong.
        misfits: What was told and cannot be of this request.
        returns: That it was told to be unfinished to somebody who began to ask after its end had been told.
        refusals: What calls about it were refused with, for good.
        shown: Items that must not be among its results: those of the job that it continues.
        ended_at: When its end was told first, by this process's clock.
    """

    asked: Asked
    principal: str
    owner: str
    names: set[str] = field(default_factory=set)
    ends: dict[bytes, int] = field(default_factory=dict)
    misfits: list[str] = field(default_factory=list)
    returns: int = 0
    refusals: list[str] = field(default_factory=list)
    shown: frozenset[str] = frozenset()
    ended_at: float | None = None

    @property
    def known(self) -> bool:
        """Whether its caller knows what became of the request."""
        return bool(self.names or self.refusals)

    @property
    def ended(self) -> bool:
        """Whether its caller knows how it ended."""
        return bool(self.ends)


class Ledger:
    """All of it.

    Args:
        facts: Of the items, for telling whether an answer fits.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.entries: dict[str, Entry] = {}
        self.pried: list[str] = []
        """Jobs that somebody was shown who must not see them."""
        self.errors: Counter[str] = Counter()
        """What calls were answered with instead, by code and reason, each time."""

    def open(self, asked: Asked, principal: str, owner: str) -> Entry:
        """Begins the page of a request."""
        entry = self.entries[asked.request_id] = Entry(asked, principal, owner)
        return entry

    def hear(self, entry: Entry, told: Recommendation, began: float | None = None) -> None:
        """Writes down what a caller was told.

        Args:
            entry: Of the request.
            told: The job.
            began: When that caller began to ask how the job stands; None where an older state may be told.
        """
        entry.names.add(told.name)
        entry.misfits += misfits(entry.asked, entry.owner, told, self._facts)
        if again := entry.shown.intersection(result.item for result in told.results):
            entry.misfits.append(f"{', '.join(again)} was shown before")
        if told.state >= _FIRST_END:
            entry.ends[end_of_told(told)] = told.state
            if entry.ended_at is None:
                entry.ended_at = time.monotonic()
        elif began is not None and entry.ended_at is not None and entry.ended_at < began:
            entry.returns += 1

    def hear_row(self, entry: Entry, told: Recommendation) -> None:
        """Writes down what was told without its results."""
        entry.names.add(told.name)
        if told.state < _FIRST_END:
            entry.misfits += misfits(entry.asked, entry.owner, told, self._facts)
