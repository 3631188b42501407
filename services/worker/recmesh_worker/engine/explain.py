"""Explain: candidates become results with reasons, and nothing is claimed that is not so."""

from collections.abc import Sequence

import numpy as np

from recmesh_worker.engine.diversify import Candidate
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Reason, ReasonKind, Result
from recmesh_worker.engine.row import Row
from recmesh_worker.engine.seeds import Plan
from recmesh_worker.engine.tastes import Tastes

_ALIKE = 0.2
"""From this centred cosine on, an item is called similar; below it only for something that they share."""

_MATCHES = 0.25
_UNDERSTOOD = 0.25
"""An item is said to match a text from this centred cosine on (nonsense seldom reaches it), and
only when the text is understood with this confidence."""

_POPULAR = 0.5
"""Popular is what somebody liked and what stands in the upper half of the popular order."""

_MANY = 0.5
"""Beside what a person likes, popular is what so many like on the scale of `CatalogMemory.liked`."""

_SEEDS_NAMED = 2

_POPULAR_ONE = (Reason(ReasonKind.POPULAR),)
_MATCHING = (Reason(ReasonKind.MATCHES_TEXT),)


def explain(
    plan: Plan, candidates: Sequence[Candidate], memory: CatalogMemory
) -> tuple[Result, ...]:
    """Results: scores cut to [0, 1], and the reasons for them when there are true ones."""
    found = [memory.row(candidate.row) for candidate in candidates]
    near = [candidate.row for candidate in candidates if not candidate.popular]
    likes = {} if plan.tastes is None or not near else _by_tastes(plan.tastes, near, memory)
    seed = None if plan.row is None else memory.row(plan.row)
    results = []
    for (row, score, popular), one in zip(candidates, found, strict=True):
        if popular:
            reasons = _popular(score, one)
        elif likes:
            reasons = likes[row]
        elif seed is not None:
            reasons = _like(seed, score, one)
        else:
            matches = score >= _MATCHES and plan.confidence >= _UNDERSTOOD
            reasons = _MATCHING if matches else ()
        fills_up = popular and plan.vectors is not None
        score = 0.0 if fills_up else min(1.0, max(0.0, score))
        results.append(Result(one.item.item, one.item.title, score, reasons))
    return tuple(results)


def _popular(score: float, found: Row) -> tuple[Reason, ...]:
    liked = found.item.popularity > 0 or found.item.average_rating is not None
    return _POPULAR_ONE if liked and score >= _POPULAR else ()


def _like(seed: Row, score: float, found: Row) -> tuple[Reason, ...]:
    reason = _similar(seed, found)
    return (reason,) if score >= _ALIKE or _shares(reason) else ()


def _by_tastes(
    tastes: Tastes, near: Sequence[int], memory: CatalogMemory
) -> dict[int, tuple[Reason, ...]]:
    """For each row the likes that it is nearest to, and whether many like it."""
    rows = np.array(near, np.int64)
    cosines = tastes.cosines(rows, memory)
    nearest = np.argsort(-cosines, axis=0, kind="stable")[:_SEEDS_NAMED]
    many = memory.liked()[rows] >= _MANY
    found: dict[int, tuple[Reason, ...]] = {}
    for place, row in enumerate(near):
        reasons: list[Reason] = []
        for like in nearest[:, place].tolist():
            seed = int(tastes.liked[like])
            reason = _similar(memory.row(seed), memory.row(row))
            # Of many likes one always shares a genre.
            alike = cosines[like, place] >= _ALIKE or bool(reason.directors or reason.cast)
            if alike and seed != row:
                reasons.append(reason)
        if tastes.popularity and many[place]:
            reasons += _POPULAR_ONE
        found[row] = tuple(reasons)
    return found


def _similar(seed: Row, found: Row) -> Reason:
    one, other = seed.item, found.item
    kin = not seed.people.isdisjoint(found.people)
    return Reason(
        ReasonKind.SIMILAR,
        one.item,
        one.title,
        tuple(filter(found.genres.__contains__, one.genres)),
        tuple(filter(other.directors.__contains__, one.directors)) if kin else (),
        tuple(filter(other.cast.__contains__, one.cast)) if kin else (),
    )


def _shares(reason: Reason) -> bool:
    return bool(reason.genres or reason.directors or reason.cast)
