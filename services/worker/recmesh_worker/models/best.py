"""The best k of many scores that come in blocks, for a batch of seeds at once."""

import numpy as np

from recmesh_worker.models.base import Ids, Mask, Scores

_OUT_OF_REACH = np.float32(4)
"""What is taken from a score that does not count."""


class Best:
    """Keeps the best k for each of B seeds. Scores are in [-1, 1].

    Of the first block the best k are looked for. After it few scores are better than the k-th best
    so far: those wait, and are sorted in when there are as many as are kept. So most scores are
    compared once, and never moved.

    Args:
        seeds: B.
        k: How many are kept for each.
    """

    def __init__(self, seeds: int, k: int) -> None:
        self._ids: Ids = np.full((seeds, k), -1, np.int64)
        self._scores: Scores = np.full((seeds, k), -np.inf, np.float32)
        self._waiting: list[tuple[Ids, Ids, Scores]] = []
        self._begun = False

    def offer(self, first: int, scores: Scores, mask: Mask) -> None:
        """A block of scores (B, m) of the rows from `first` on, m >= 1; they are written to.

        `mask` (m,) or (B, m) says which of them count.
        """
        if not self._ids.size:
            return
        if not self._begun:
            self._begin(first, scores, mask)
            return
        better = scores > self._scores[:, -1:]
        better &= mask
        places = np.flatnonzero(better)
        if not len(places):
            return
        seeds, rows = np.divmod(places, scores.shape[1])
        self._waiting.append((seeds, rows + first, scores.ravel()[places]))
        if sum(len(rows) for _, rows, _ in self._waiting) >= self._ids.size:
            self._sort_in()

    def found(self) -> tuple[Ids, Scores]:
        """Ids and scores (B, k), the best first; -1 and minus infinity where there are no more."""
        self._sort_in()
        return self._ids, self._scores

    def _begin(self, first: int, scores: Scores, mask: Mask) -> None:
        self._begun = True
        # Out of reach but not all alike: finding the best among thousands of equal scores is slow.
        scores -= _OUT_OF_REACH * ~mask
        ids, best = _top(scores, self._ids.shape[1])
        none = ~(best >= -_OUT_OF_REACH / 2)  # what is no number does not count either
        ids += first
        ids[none], best[none] = -1, -np.inf
        self._ids[:, : ids.shape[1]], self._scores[:, : ids.shape[1]] = ids, best

    def _sort_in(self) -> None:
        """Take what waits among the best."""
        if not self._waiting:
            return
        seeds, rows, scores = map(np.concatenate, zip(*self._waiting, strict=True))
        self._waiting = []
        order = np.argsort(seeds, kind="stable")
        seeds, rows, scores = seeds[order], rows[order], scores[order]
        k = self._ids.shape[1]
        best_of = _at_most(k, seeds, scores)
        seeds, rows, scores = seeds[best_of], rows[best_of], scores[best_of]
        # Side by side behind the best: as many columns as the seed takes that has most.
        counts = np.bincount(seeds, minlength=len(self._ids))
        columns = np.arange(len(seeds)) - np.repeat(np.cumsum(counts) - counts, counts)
        wide = ((0, 0), (0, int(counts.max())))
        ids = np.pad(self._ids, wide, constant_values=-1)
        best = np.pad(self._scores, wide, constant_values=-np.inf)
        ids[seeds, k + columns], best[seeds, k + columns] = rows, scores
        places, self._scores = _top(best, k)
        self._ids = np.take_along_axis(ids, places, axis=1)


def _at_most(k: int, seeds: Ids, scores: Scores) -> Mask:
    """Which scores are among the best k of their seed; the seeds are in order.

    A seed of which few rows count in the first block finds thousands of better ones after it: they
    would make all rows of the table as wide.
    """
    kept = np.ones(len(seeds), np.bool_)
    counts = np.bincount(seeds)
    for seed in np.flatnonzero(counts > k):
        first, last = np.searchsorted(seeds, [seed, seed + 1])
        kept[first + np.argpartition(scores[first:last], last - first - k)[: last - first - k]] = (
            False
        )
    return kept


def _top(scores: Scores, k: int) -> tuple[Ids, Scores]:
    """Places and scores (B, at most k) of the best of each row, the best first."""
    if k < scores.shape[1]:
        places = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]
        best = np.take_along_axis(scores, places, axis=1)
        order = np.argsort(-best, axis=1, kind="stable")
        places = np.take_along_axis(places, order, axis=1)
    else:
        places = np.argsort(-scores, axis=1, kind="stable")
    return places, np.take_along_axis(scores, places, axis=1)
