"""Candidates: which rows may be answered, from the model that fits each query."""

from collections.abc import Sequence
from math import log, sqrt
from typing import NamedTuple

import numpy as np

from recmesh_worker.engine.language import written_in
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Fallback
from recmesh_worker.engine.seeds import Plan
from recmesh_worker.models.base import Batch, Model

_FUSED = 50
"""At least so many neighbours of an item are looked at again by what they share with it."""

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


def find_candidates(
    plans: Sequence[Plan],
    memory: CatalogMemory,
    content: Model,
    popularity: Model,
    languages: Sequence[str],
) -> list[list[Candidate]]:
    """Candidates for each plan, best first: neighbours where there is a vector, then popular ones
    where those are too few.

    Sets the confidence of texts; turns an unknown title whose words match nothing to popular.
    """
    found = [_judged(p, c, len(memory), languages) for p, c in _neighbours(plans, memory, content)]
    short = [len(c) < p.wanted for p, c in zip(plans, found, strict=True)]
    if any(short):
        most = max(p.wanted + len(c) for p, c, s in zip(plans, found, short, strict=True) if s)
        popular = _popular(memory, popularity, most)
        found = [c + popular if s else c for c, s in zip(found, short, strict=True)]
    return found


def _neighbours(
    plans: Sequence[Plan], memory: CatalogMemory, content: Model
) -> list[tuple[Plan, list[Candidate]]]:
    """Nearest rows for the plans that have a vector, in one batch; nothing for the others."""
    seeded = [(p, p.vector) for p in plans if p.vector is not None]
    if not seeded:
        return [(p, []) for p in plans]
    batch = Batch(
        memory,
        np.stack([vector for _, vector in seeded]).astype(np.float32, copy=False),
        np.array([p.row is not None for p, _ in seeded]),
    )
    k = max(p.wanted + _FUSED for p, _ in seeded)
    ids, scores = content.top_k(batch, k, memory.visible & memory.embedded)
    rows = iter(zip(ids.tolist(), scores.tolist(), strict=True))
    found: list[tuple[Plan, list[Candidate]]] = []
    for p in plans:
        # To its own length: an answer must not depend on what else is in the batch.
        own = p.wanted + _FUSED
        found.append((p, _candidates(*next(rows))[:own] if p.vector is not None else []))
    return found


def _popular(memory: CatalogMemory, popularity: Model, k: int) -> list[Candidate]:
    nothing = np.zeros((1, memory.dimensions), np.float32)
    batch = Batch(memory, nothing, np.zeros(1, np.bool_))
    ids, scores = popularity.top_k(batch, k, memory.visible)
    return _candidates(ids[0].tolist(), scores[0].tolist(), popular=True)


def _candidates(rows: list[int], scores: list[float], *, popular: bool = False) -> list[Candidate]:
    return [Candidate(r, s, popular) for r, s in zip(rows, scores, strict=True) if r >= 0]


def _judged(
    plan: Plan, candidates: list[Candidate], items: int, languages: Sequence[str]
) -> list[Candidate]:
    """Set how sure a text's matches are; none for an unknown title that matches nothing."""
    if plan.vector is None or plan.row is not None:
        return candidates
    best = candidates[0].score if candidates else 0.0
    noise = _NOISE * sqrt(
        2 * log(items + 1)
    )  # the maximum of so many normal numbers grows like this
    confidence = min(1.0, max(0.0, (best - noise) / (_SURE - noise)))
    if not written_in(plan.query.seed, languages):
        confidence *= _FOREIGN
    plan.confidence = confidence
    if plan.fallback is Fallback.TEXT:
        if confidence < _TITLE_NEEDS:
            plan.fallback, plan.confidence, plan.vector = Fallback.POPULAR, 0.0, None
            return []
        plan.confidence = min(confidence, _TITLE_AS_TEXT)
    return candidates
