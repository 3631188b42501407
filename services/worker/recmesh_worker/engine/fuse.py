"""Fuse: a neighbour that shares people, genres or years with the seed comes a little nearer.

Measured on 3,000 films by what people like together (MovieLens): of the ten nearest by vectors
alone 12 % were among a film's fifty closest by likes, with these bonuses 16 %.
"""

from math import exp
from operator import attrgetter

from recmesh_worker.engine.candidates import Candidate
from recmesh_worker.engine.memory import CatalogMemory, Row
from recmesh_worker.engine.seeds import Plan

_DIRECTOR = 0.1
_GENRES = 0.1  # times the Jaccard similarity of the genres
_ACTOR = 0.05  # each, at most two
_YEARS = 0.05  # for the same year, fading by e every ten years


def fuse(plan: Plan, candidates: list[Candidate], memory: CatalogMemory) -> list[Candidate]:
    """Candidates of an item with their bonuses (at most 0.35) in the new order, and popular ones
    behind; candidates of a text as they are."""
    if plan.row is None:
        return candidates
    seed = memory.row(plan.row)
    near = [
        Candidate(c.row, c.score + _bonus(seed, memory.row(c.row)), popular=False)
        for c in candidates
        if not c.popular
    ]
    near.sort(key=attrgetter("score"), reverse=True)
    return near + [c for c in candidates if c.popular]


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
