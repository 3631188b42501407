"""Fuse: a neighbour that shares people, genres or years with the seed comes a little nearer.

Measured on 3,000 films by what people like together (MovieLens): of the ten nearest by vectors
alone 12 % were among a film's fifty closest by likes, with these bonuses 16 %.
"""

from collections.abc import Iterable
from math import exp
from operator import attrgetter

import numpy as np

from recmesh_worker.engine.candidates import Candidate
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.row import Row
from recmesh_worker.engine.seeds import Plan
from recmesh_worker.engine.tastes import Tastes

_DIRECTOR = 0.1
_GENRES = 0.1  # times the Jaccard similarity of the genres
_ACTOR = 0.05  # each, at most two
_YEARS = 0.05  # for the same year, fading by e every ten years


def fuse(plan: Plan, segment: list[Candidate], memory: CatalogMemory) -> list[Candidate]:
    """A segment of candidates with their bonuses (at most 0.35) in the new order.

    Those of tastes get the score of `Tastes.scores`, and as much as is said there of the bonus of
    the nearest like. Candidates of a text, and popular ones, stay as they are.
    """
    if not segment or segment[0].popular:
        return segment
    if plan.tastes is not None:
        scored = list(_by_tastes(plan.tastes, segment, memory))
    elif plan.row is not None:
        seed = memory.row(plan.row)
        scored = [
            Candidate(row, score + _bonus(seed, memory.row(row)), popular)
            for row, score, popular in segment
        ]
    else:
        return segment
    return sorted(scored, key=attrgetter("score"), reverse=True)


def _by_tastes(
    tastes: Tastes, segment: list[Candidate], memory: CatalogMemory
) -> Iterable[Candidate]:
    rows = np.array([candidate.row for candidate in segment])
    scores, nearest = tastes.scores(rows, memory)
    seeds = {row: memory.row(row) for row in set(nearest.tolist())}
    for row, score, seed in zip(rows.tolist(), scores.tolist(), nearest.tolist(), strict=True):
        shared = tastes.sharing * _bonus(seeds[seed], memory.row(row))
        yield Candidate(row, score + shared, popular=False)


def _bonus(seed: Row, other: Row) -> float:
    bonus = 0.0
    if not seed.directors.isdisjoint(other.directors):
        bonus += _DIRECTOR
    if not seed.cast.isdisjoint(other.cast):
        bonus += _ACTOR * min(2, len(seed.cast & other.cast))
    if shared := len(seed.genres & other.genres):
        bonus += _GENRES * shared / (len(seed.genres) + len(other.genres) - shared)
    if seed.year and other.year:
        bonus += _YEARS * exp(-abs(seed.year - other.year) / 10)
    return bonus
