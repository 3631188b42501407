"""Explain: candidates become results with reasons, and nothing is claimed that is not so."""

from recmesh_worker.engine.candidates import Candidate
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Reason, ReasonKind, Result
from recmesh_worker.engine.seeds import Plan

_ALIKE = 0.2
"""From this score on, an item is called similar; below it only for something that they share."""

_MATCHES = 0.25
_UNDERSTOOD = 0.25
"""An item is said to match a text from this centred cosine on (nonsense seldom reaches it), and
only when the text is understood with this confidence."""

_POPULAR = 0.5
"""Popular is what somebody liked and what stands in the upper half of the popular order."""


def explain(plan: Plan, candidate: Candidate, memory: CatalogMemory) -> Result:
    """A result: its score cut to [0, 1], and the reason for it when there is a true one."""
    item = memory.row(candidate.row).item
    reason = _reason(plan, candidate, memory)
    fills_up = candidate.popular and plan.vector is not None
    return Result(
        item.item,
        item.title,
        0.0 if fills_up else min(1.0, max(0.0, candidate.score)),
        () if reason is None else (reason,),
    )


def _reason(plan: Plan, candidate: Candidate, memory: CatalogMemory) -> Reason | None:
    found = memory.row(candidate.row)
    if candidate.popular:
        liked = found.item.popularity > 0 or found.item.average_rating is not None
        popular = liked and candidate.score >= _POPULAR
        return Reason(kind=ReasonKind.POPULAR) if popular else None
    if plan.row is None:
        matches = candidate.score >= _MATCHES and plan.confidence >= _UNDERSTOOD
        return Reason(kind=ReasonKind.MATCHES_TEXT) if matches else None
    seed = memory.row(plan.row)
    genres = tuple(name for name in seed.item.genres if name in found.genres)
    directors = tuple(name for name in seed.item.directors if name in found.directors)
    cast = tuple(name for name in seed.item.cast if name in found.cast)
    if candidate.score < _ALIKE and not (genres or directors or cast):
        return None
    return Reason(
        kind=ReasonKind.SIMILAR,
        item=seed.item.item,
        title=seed.item.title,
        genres=genres,
        directors=directors,
        cast=cast,
    )
