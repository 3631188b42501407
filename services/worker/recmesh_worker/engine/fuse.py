"""Fuse: a neighbour that shares people, genres or years with the seed comes a little nearer; see `kinship`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmesh_worker.engine.candidates import Found, Segment
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.seeds import Plan


class _Bare(NamedTuple):
    """A segment's scores (m,) without bonuses, the row (m,) that each is compared with, and how much it counts."""

    scores: NDArray[np.float64]
    seeds: NDArray[np.int64]
    sharing: float


def fuse(
    plans: Sequence[Plan], found: Sequence[Found], memory: CatalogMemory
) -> list[list[Segment]]:
    """For each plan the segments, those that match first, each with its bonuses (at most 0.35) in the new order.

    Candidates of tastes get the score of `Tastes.scores`, and as much as is said there of the bonus
    of the nearest like. Those of a text, and popular ones, stay as they are.
    """
    segments = [one.matching + one.others for one in found]
    places = [
        (number, place)
        for number, plan in enumerate(plans)
        for place, segment in enumerate(segments[number])
        if _gets_bonuses(plan, segment)
    ]
    if not places:
        return segments
    bare = [_bare(plans[number], segments[number][place], memory) for number, place in places]
    rows = [segments[number][place].rows for number, place in places]
    bonuses = memory.kinship.bonuses(
        np.concatenate([one.seeds for one in bare]), np.concatenate(rows)
    )
    first = 0
    for (number, place), one, its in zip(places, bare, rows, strict=True):
        scores = one.scores + one.sharing * bonuses[first : first + len(its)]
        order = np.argsort(-scores, kind="stable")
        segments[number][place] = Segment(its[order], scores[order])
        first += len(its)
    return segments


def _gets_bonuses(plan: Plan, segment: Segment) -> bool:
    of_items = plan.tastes is not None or plan.row is not None
    return of_items and not segment.popular and len(segment.rows) > 0


def _bare(plan: Plan, segment: Segment, memory: CatalogMemory) -> _Bare:
    if plan.tastes is not None:
        scores, nearest = plan.tastes.scores(segment.rows, memory)
        return _Bare(scores.astype(np.float64), nearest, plan.tastes.sharing)
    return _Bare(segment.scores, np.full(len(segment.rows), plan.row, np.int64), 1.0)
