"""Explain: candidates become results with reasons, and nothing is claimed that is not so."""

from collections.abc import Sequence

import numpy as np

from recmesh_worker.engine.candidates import Candidate
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


def explain(
    plan: Plan, candidates: Sequence[Candidate], memory: CatalogMemory
) -> tuple[Result, ...]:
    """Results: scores cut to [0, 1], and the reasons for them when there are true ones."""
    near = [candidate.row for candidate in candidates if not candidate.popular]
    likes = {} if plan.tastes is None or not near else _by_tastes(plan.tastes, near, memory)
    return tuple(
        _result(plan, candidate, likes.get(candidate.row), memory) for candidate in candidates
    )


def _result(
    plan: Plan,
    candidate: Candidate,
    reasons: tuple[Reason, ...] | None,
    memory: CatalogMemory,
) -> Result:
    item = memory.row(candidate.row).item
    fills_up = candidate.popular and plan.vectors is not None
    return Result(
        item.item,
        item.title,
        0.0 if fills_up else min(1.0, max(0.0, candidate.score)),
        _reasons(plan, candidate, memory) if reasons is None else reasons,
    )


def _reasons(plan: Plan, candidate: Candidate, memory: CatalogMemory) -> tuple[Reason, ...]:
    found = memory.row(candidate.row)
    if candidate.popular:
        liked = found.item.popularity > 0 or found.item.average_rating is not None
        popular = liked and candidate.score >= _POPULAR
        return (Reason(kind=ReasonKind.POPULAR),) if popular else ()
    if plan.row is not None:
        reason = _similar(memory.row(plan.row), found)
        return (reason,) if candidate.score >= _ALIKE or _shares(reason) else ()
    matches = candidate.score >= _MATCHES and plan.confidence >= _UNDERSTOOD
    return (Reason(kind=ReasonKind.MATCHES_TEXT),) if matches else ()


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
            reasons.append(Reason(kind=ReasonKind.POPULAR))
        found[row] = tuple(reasons)
    return found


def _similar(seed: Row, found: Row) -> Reason:
    return Reason(
        kind=ReasonKind.SIMILAR,
        item=seed.item.item,
        title=seed.item.title,
        genres=tuple(name for name in seed.item.genres if name in found.genres),
        directors=tuple(name for name in seed.item.directors if name in found.directors),
        cast=tuple(name for name in seed.item.cast if name in found.cast),
    )


def _shares(reason: Reason) -> bool:
    return bool(reason.genres or reason.directors or reason.cast)
