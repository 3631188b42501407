"""Candidates: which rows may be answered, from the model that fits each query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmesh_worker.engine.language import written_in
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.neighbours import REACH
from recmesh_worker.engine.query import Fallback
from recmesh_worker.engine.seeds import Plan
from recmesh_worker.models.base import Batch, Ids, Mask, Model, Scores

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


class Segment(NamedTuple):
    """Candidates, the best first: rows (m,), the model's scores (m,), and whether they came from
    the popular order."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    popular: bool = False

    def first(self, count: int) -> Segment:
        """The first `count` of them."""
        return Segment(self.rows[:count], self.scores[:count], self.popular)


@dataclass(slots=True)
class Found:
    """The candidates of one query in segments, no row twice.

    A segment is there only when those before it may not fill the answer: neighbours, then popular
    items. `others` do not match the filter.
    """

    matching: list[Segment] = field(default_factory=list)
    others: list[Segment] = field(default_factory=list)


_NOTHING = Segment(np.empty(0, np.int64), np.empty(0, np.float64))


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
        allowed = _allowed(plans, memory)
        matching = _matching(plans, allowed, memory)
        few = [place for place, plan in enumerate(plans) if _relaxes(plan, matching[place])]
        # For these the product looks at the rest, which are many; the few that match are looked at by themselves.
        rest = {place: allowed[place] & ~matching[place] for place in few}
        masks = matching.copy() if few else matching
        for place, mask in rest.items():
            masks[place] = mask
        near = self._near(plans, masks, memory)
        others = {place: near[place] for place in few}
        for place in few:
            (near[place],) = self._near([plans[place]], matching[place, None], memory)
        self._judge(plans, near, memory)
        found = [
            Found(self._segments(*one, memory)) for one in zip(plans, near, matching, strict=True)
        ]
        for place, mask in rest.items():
            found[place].others = self._segments(plans[place], others[place], mask, memory)
        return found

    def _near(self, plans: Sequence[Plan], masks: Mask, memory: CatalogMemory) -> list[Segment]:
        """Nearest rows for the plans that have vectors, in one batch; nothing for the others.

        To each its own length: an answer must not depend on what else is in the batch.
        """
        parts: list[list[Segment]] = [[] for _ in plans]
        wanted: list[tuple[int, NDArray[np.float32]]] = []
        for place, plan in enumerate(plans):
            known = memory.neighbours.get(_neighbours_of(plan))
            if known is not None:
                parts[place].append(_allowed_of(Segment(*known), masks[place], _pool(plan)))
                continue
            wanted += ((place, vector) for vector in _vectors(plan))
        for place, segment in self._search(plans, wanted, masks, memory):
            plan = plans[place]
            if (row := _neighbours_of(plan)) is not None:
                memory.neighbours.put(row, segment.rows[:REACH], segment.scores[:REACH])
                segment = _allowed_of(segment, masks[place], _pool(plan))
            parts[place].append(segment.first(_pool(plan)))
        for plan, mask, mine in zip(plans, masks, parts, strict=True):
            if plan.tastes is not None and plan.tastes.popularity:
                mine.append(self._popular(mask & memory.embedded, _pool(plan), memory))
        return [_each_once(mine) for mine in parts]

    def _search(
        self,
        plans: Sequence[Plan],
        wanted: Sequence[tuple[int, NDArray[np.float32]]],
        masks: Mask,
        memory: CatalogMemory,
    ) -> Iterator[tuple[int, Segment]]:
        """The nearest rows for vectors, each with the place of its plan, in their order."""
        if not wanted:
            return
        places = [place for place, _ in wanted]
        # What may be kept is searched for among all that may be answered to anybody.
        open_to_all = [
            n for n, place in enumerate(places) if _neighbours_of(plans[place]) is not None
        ]
        its_masks = masks[places]
        its_masks[open_to_all] = memory.visible
        found = self._nearest(
            np.stack([vector for _, vector in wanted]),
            np.array([plans[place].centred for place in places]),
            its_masks,
            max(REACH if open_to_all else 0, *(_pool(plans[place]) for place in places)),
            memory,
        )
        yield from zip(places, found, strict=True)

    def _nearest(
        self,
        vectors: NDArray[np.float32],
        centred: NDArray[np.bool_],
        masks: Mask,
        k: int,
        memory: CatalogMemory,
    ) -> list[Segment]:
        """The best k of the embedded rows that masks (B, n) allow, for each of B vectors (B, d)."""
        batch = Batch(memory, vectors.astype(np.float32, copy=False), centred)
        ids, scores = self._content.top_k(batch, k, masks & memory.embedded)
        return _segments(ids, scores)

    def _segments(
        self, plan: Plan, near: Segment, mask: Mask, memory: CatalogMemory
    ) -> list[Segment]:
        """Neighbours, and popular items where they are too few."""
        if plan.vectors is None:
            return [self._popular(mask, _pool(plan), memory)]
        missing = plan.query.limit - len(near.rows)
        if missing <= 0:
            return [near]
        rest = mask.copy()
        rest[near.rows] = False
        return [near, self._popular(rest, missing, memory)]

    def _popular(self, mask: Mask, k: int, memory: CatalogMemory) -> Segment:
        nothing = np.zeros((1, memory.dimensions), np.float32)
        batch = Batch(memory, nothing, np.zeros(1, np.bool_))
        (segment,) = _segments(*self._popularity.top_k(batch, k, mask))
        return segment._replace(popular=True)

    def _judge(self, plans: Sequence[Plan], near: list[Segment], memory: CatalogMemory) -> None:
        """Set how sure the matches of texts are; an unknown title that matches nothing gets none.

        How well a text is understood does not depend on what may be answered.
        """
        best = {place: _best(near[place]) for place, plan in enumerate(plans) if plan.of_words}
        narrowed = [p for p in best if plans[p].banned or plans[p].query.filter is not None]
        if narrowed:
            vectors = np.stack([v for place in narrowed for v in _vectors(plans[place])])
            masks = np.broadcast_to(memory.visible, (len(narrowed), len(memory.visible)))
            found = self._nearest(vectors, np.zeros(len(narrowed), np.bool_), masks, 1, memory)
            best |= {place: _best(one) for place, one in zip(narrowed, found, strict=True)}
        for place, score in best.items():
            plan = plans[place]
            _judge_words(plan, score, len(memory), self._languages)
            if plan.vectors is None:
                near[place] = _NOTHING


def _allowed(plans: Sequence[Plan], memory: CatalogMemory) -> Mask:
    """The rows (B, n) that may be answered, whether they match the filters or not."""
    masks = np.repeat(memory.visible[None], len(plans), axis=0)
    for mask, plan in zip(masks, plans, strict=True):
        mask[plan.banned] = False
    return masks


def _matching(plans: Sequence[Plan], allowed: Mask, memory: CatalogMemory) -> Mask:
    """Those of the rows (B, n) that match the filters."""
    filters = [(place, p.query.filter) for place, p in enumerate(plans) if p.query.filter]
    if not filters:
        return allowed
    masks = allowed.copy()
    for place, condition in filters:
        masks[place] &= memory.filters.select(condition)
    return masks


def _pool(plan: Plan) -> int:
    """How many candidates are looked at for a plan, at most."""
    limit = plan.query.limit
    near_one = plan.vectors is not None and plan.tastes is None
    return limit + _POOL if near_one else 2 * (limit + _POOL)


def _neighbours_of(plan: Plan) -> int | None:
    """The row whose nearest are asked for; None when others may be wanted than the memory keeps."""
    enough = plan.query.filter is None and _pool(plan) + len(plan.banned) <= REACH
    return plan.row if enough and plan.vectors is not None else None


def kept(plan: Plan, memory: CatalogMemory) -> bool:
    """Whether the neighbours that a plan asks for are at hand, so that nothing is searched for."""
    return _neighbours_of(plan) in memory.neighbours


def _allowed_of(segment: Segment, mask: Mask, count: int) -> Segment:
    """The first `count` of those where the mask (n,) is true."""
    kept = np.flatnonzero(mask[segment.rows])[:count]
    return Segment(segment.rows[kept], segment.scores[kept])


def _relaxes(plan: Plan, matching: Mask) -> bool:
    """Whether the filter leaves too few and may be relaxed."""
    query = plan.query
    if query.filter is None or query.strict_filter:
        return False
    return int(np.count_nonzero(matching)) < query.limit


def _vectors(plan: Plan) -> Iterable[NDArray[np.float32]]:
    return () if plan.vectors is None else plan.vectors


def _segments(ids: Ids, scores: Scores) -> list[Segment]:
    """What a model found (B, m), without the places where there was no more."""
    counts = (ids >= 0).sum(axis=1).tolist()
    doubles = scores.astype(np.float64)
    return [
        Segment(ids[place, :count], doubles[place, :count]) for place, count in enumerate(counts)
    ]


def _best(segment: Segment) -> float:
    """The best score, 0 when there is none."""
    return float(segment.scores[0]) if len(segment.scores) else 0.0


def _each_once(parts: Sequence[Segment]) -> Segment:
    """All of them, each row where it comes first."""
    if len(parts) <= 1:
        return parts[0] if parts else _NOTHING
    rows = np.concatenate([part.rows for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    _, places = np.unique(rows, return_index=True)
    places.sort()
    return Segment(rows[places], scores[places])


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
