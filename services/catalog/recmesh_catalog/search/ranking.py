"""The order of what a search finds: exact hits, titles that begin like the query, then by `similarity`.

A beginning says little of how long the title goes on. So beginnings that are alike enough to be what is meant (as the
worker's title resolution sees it, too) go by `similarity`; of those that are not, main titles come first: a person who
has typed "god" looks for a film that is called so, before one that somewhere else is called "The Godson".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from recmesh_kit.text import RESOLVE_THRESHOLD, similarity

LEAST_ALIKE = 0.5
"""Below this similarity a title that does not begin like the query is no hit."""
_PART_WEIGHT = 0.95
"""A part of a title stands for the item a little less than a whole title does: as in the worker."""

EXACT, NEARLY, BEGINS, BEGINS_OTHERWISE, ALIKE = range(5)

Key = tuple[int, float, bool, float, str]
"""What hits are sorted by: kind, score (negative), whether the year is another one, rating (negative), item."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A title that may be meant.

    Attributes:
        item: The item's id.
        form: The title's normal form.
        title: The title.
        part: Whether `form` is a part of the title only.
        main: Whether the title is the item's main title.
        release_year: The item's; 0 if unknown.
        average_rating: The item's; None if unknown.
    """

    item: str
    form: str
    title: str
    part: bool
    main: bool
    release_year: int
    average_rating: float | None


@dataclass(frozen=True, slots=True)
class Hit:
    """An item that was found.

    Attributes:
        key: Its place in the order.
        item: The item's id.
        score: How well the title fits, in [0, 1].
        title: The title that fits.
    """

    key: Key
    item: str
    score: float
    title: str


def rank(
    form: str, year: int | None, candidates: Iterable[Candidate], after: Key | None
) -> list[Hit]:
    """Hits, the best first, each item once with the title that fits best.

    Args:
        form: The query's normal form.
        year: The year that the query names; of equally good hits those of this year come first.
        candidates: What to sort.
        after: The key of the last hit of the page before; None for the first page.
    """
    best: dict[str, Hit] = {}
    for candidate in candidates:
        hit = _judge(form, year, candidate)
        if hit.key[0] == ALIKE and hit.score < LEAST_ALIKE:
            continue
        known = best.get(hit.item)
        if known is None or hit.key < known.key:
            best[hit.item] = hit
    hits = sorted(best.values(), key=lambda hit: hit.key)
    return hits if after is None else [hit for hit in hits if hit.key > after]


def _judge(form: str, year: int | None, candidate: Candidate) -> Hit:
    score = similarity(form, candidate.form) * (_PART_WEIGHT if candidate.part else 1.0)
    kind = _kind(form, candidate, score)
    rating = -1.0 if candidate.average_rating is None else candidate.average_rating
    other_year = year is not None and candidate.release_year != year
    key = (kind, -score, other_year, -rating, candidate.item)
    return Hit(key, candidate.item, score, candidate.title)


def _kind(form: str, candidate: Candidate, score: float) -> int:
    if not candidate.form.startswith(form):
        return ALIKE
    if candidate.form == form and not candidate.part:
        return EXACT
    if score >= RESOLVE_THRESHOLD:
        return NEARLY
    return BEGINS if candidate.main and not candidate.part else BEGINS_OTHERWISE
