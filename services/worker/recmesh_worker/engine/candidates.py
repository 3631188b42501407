"""Candidates: which rows may be answered, from the model that fits each query."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from math import log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmesh_worker.engine.language import written_in
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Fallback
from recmesh_worker.engine.seeds import Plan
from recmesh_worker.models.base import Batch, Mask, Model

_POOL = 50
"""So many more candidates than are asked for are looked at again: by what they share with an item,
and for how much they differ. Of what is like several items, or popular, twice as many: they are
looked at by all that a person likes, and have more to differ in."""

# How sure a text's matches are: not at all when the best centred cosine is what noise reaches (a
# leaking tap has something in common with one film of many; with more films, more), and wholly
# from `_SURE` on. Measured with 40 descriptions of films, 20 nonsense texts and 10 titles of absent
# films over 200 and over 3,000 films.
_NOISE, _SURE = 0.06, 0.5
_FOREIGN = 0.3  # of the confidence is left when the encoder does not know the text's script
_TITLE_AS_TEXT = 0.5  # is the most confidence that an unknown title's words can have
_TITLE_NEEDS = 0.3  # of text confidence, for an unknown title to be answered by its words


class Candidate(NamedTuple):
    """A row, the model's score, and whether it came from the popular order."""

    row: int
    score: float
    popular: bool


@dataclass(slots=True)
class Found:
    """The candidates of one query in segments, each the best first, no row twice.

    A segment is there only when those before it may not fill the answer: neighbours, then popular
    items. `others` do not match the filter.
    """

    matching: list[list[Candidate]] = field(default_factory=list)
    others: list[list[Candidate]] = field(default_factory=list)


class _Seed(NamedTuple):
    """What neighbours are searched for: a vector (d,), whether it is an item's, and where."""

    vector: NDArray[np.float32]
    centred: bool
    mask: Mask


class Finder:
    """Finds candidates with a model for neighbours and one for everything else."""

    def __init__(self, content: Model, popularity: Model, languages: Sequence[str]) -> None:
        """`languages` are the encoder's (ISO 639-1): texts in others are answered unsurely."""
        self._content = content
        self._popularity = popularity
        self._languages = tuple(languages)

    def find(self, plans: Sequence[Plan], memory: CatalogMemory) -> list[Found]:
        """Candidates for each plan.

        Sets the confidence of texts; turns an unknown title whose words match nothing to popular.
        """
        allowed = [_allowed(plan, memory) for plan in plans]
        matching = [_matching(p, mask, memory) for p, mask in zip(plans, allowed, strict=True)]
        near = self._near(plans, matching, memory)
        self._judge(plans, near, memory)
        found = [
            Found(self._segments(*one, memory)) for one in zip(plans, near, matching, strict=True)
        ]
        few = [_relaxes(p, f) for p, f in zip(plans, found, strict=True)]
        if any(few):
            relaxed = list(compress(plans, few))
            rest = [a & ~m for a, m in compress(zip(allowed, matching, strict=True), few)]
            near = self._near(relaxed, rest, memory)
            for one, p, n, mask in zip(compress(found, few), relaxed, near, rest, strict=True):
                one.others = self._segments(p, n, mask, memory)
        return found

    def _near(
        self, plans: Sequence[Plan], masks: Sequence[Mask], memory: CatalogMemory
    ) -> list[list[Candidate]]:
        """Nearest rows for the plans that have vectors, in one batch; nothing for the others."""
        seeds = [
            _Seed(vector, plan.centred, mask)
            for plan, mask in zip(plans, masks, strict=True)
            for vector in _vectors(plan)
        ]
        if not seeds:
            return [[] for _ in plans]
        nearest = iter(self._nearest(seeds, max(map(_pool, plans)), memory))
        found = []
        for plan, mask in zip(plans, masks, strict=True):
            # To its own length: an answer must not depend on what else is in the batch.
            parts = [next(nearest)[: _pool(plan)] for _ in _vectors(plan)]
            if plan.tastes is not None and plan.tastes.popularity:
                many = self._popular(mask & memory.embedded, _pool(plan), memory)
                parts.append([Candidate(row, score, popular=False) for row, score, _ in many])
            found.append(parts[0] if len(parts) == 1 else _each_once(parts))
        return found

    def _nearest(
        self, seeds: Sequence[_Seed], k: int, memory: CatalogMemory
    ) -> list[list[Candidate]]:
        vectors = np.stack([seed.vector for seed in seeds]).astype(np.float32, copy=False)
        batch = Batch(memory, vectors, np.array([seed.centred for seed in seeds]))
        mask = np.stack([seed.mask for seed in seeds])
        mask &= memory.embedded
        ids, scores = self._content.top_k(batch, k, mask)
        return [_candidates(*one) for one in zip(ids.tolist(), scores.tolist(), strict=True)]

    def _segments(
        self, plan: Plan, near: list[Candidate], mask: Mask, memory: CatalogMemory
    ) -> list[list[Candidate]]:
        """Neighbours, and popular items where they are too few."""
        if plan.vectors is None:
            return [self._popular(mask, _pool(plan), memory)]
        if len(near) >= plan.query.limit:
            return [near]
        rest = mask.copy()
        rest[[candidate.row for candidate in near]] = False
        return [near, self._popular(rest, plan.query.limit - len(near), memory)]

    def _popular(self, mask: Mask, k: int, memory: CatalogMemory) -> list[Candidate]:
        nothing = np.zeros((1, memory.dimensions), np.float32)
        batch = Batch(memory, nothing, np.zeros(1, np.bool_))
        ids, scores = self._popularity.top_k(batch, k, mask)
        return _candidates(ids[0].tolist(), scores[0].tolist(), popular=True)

    def _judge(
        self, plans: Sequence[Plan], near: list[list[Candidate]], memory: CatalogMemory
    ) -> None:
        """Set how sure the matches of texts are; an unknown title that matches nothing gets none.

        How well a text is understood does not depend on what may be answered.
        """
        best = {
            place: near[place][0].score if near[place] else 0.0
            for place, plan in enumerate(plans)
            if plan.of_words
        }
        narrowed = [p for p in best if plans[p].banned or plans[p].query.filter is not None]
        if narrowed:
            seeds = [_Seed(v, False, memory.visible) for p in narrowed for v in _vectors(plans[p])]
            found = self._nearest(seeds, 1, memory)
            best |= {p: f[0].score if f else 0.0 for p, f in zip(narrowed, found, strict=True)}
        for place, score in best.items():
            plan = plans[place]
            _judge_words(plan, score, len(memory), self._languages)
            if plan.vectors is None:
                near[place] = []


def _allowed(plan: Plan, memory: CatalogMemory) -> Mask:
    """The rows (n,) that may be answered, whether they match the filter or not."""
    mask = memory.visible.copy()
    mask[plan.banned] = False
    return mask


def _matching(plan: Plan, allowed: Mask, memory: CatalogMemory) -> Mask:
    if plan.query.filter is None:
        return allowed
    mask: Mask = allowed & memory.filters.select(plan.query.filter)
    return mask


def _pool(plan: Plan) -> int:
    """How many candidates are looked at for a plan, at most."""
    limit = plan.query.limit
    near_one = plan.vectors is not None and plan.tastes is None
    return limit + _POOL if near_one else 2 * (limit + _POOL)


def _relaxes(plan: Plan, found: Found) -> bool:
    """Whether the filter leaves too few and may be relaxed."""
    query = plan.query
    if query.filter is None or query.strict_filter:
        return False
    return sum(map(len, found.matching)) < query.limit


def _vectors(plan: Plan) -> Iterable[NDArray[np.float32]]:
    return () if plan.vectors is None else plan.vectors


def _candidates(rows: list[int], scores: list[float], *, popular: bool = False) -> list[Candidate]:
    return [Candidate(r, s, popular) for r, s in zip(rows, scores, strict=True) if r >= 0]


def _each_once(parts: Iterable[list[Candidate]]) -> list[Candidate]:
    """All of them, each row where it comes first."""
    rows: dict[int, Candidate] = {}
    for part in parts:
        for candidate in part:
            rows.setdefault(candidate.row, candidate)
    return list(rows.values())


def _judge_words(plan: Plan, best: float, items: int, languages: Sequence[str]) -> None:
    """Set how sure words are understood; an unknown title that matches nothing becomes popular."""
    # The maximum of so many normal numbers grows like this.
    noise = _NOISE * sqrt(2 * log(items + 1))
    confidence = min(1.0, max(0.0, (best - noise) / (_SURE - noise)))
    if not written_in(plan.query.seed, languages):
        confidence *= _FOREIGN
    plan.confidence = confidence
    if plan.fallback is Fallback.TEXT:
        if confidence < _TITLE_NEEDS:
            plan.fallback, plan.confidence, plan.vectors = Fallback.POPULAR, 0.0, None
            return
        plan.confidence = min(confidence, _TITLE_AS_TEXT)
