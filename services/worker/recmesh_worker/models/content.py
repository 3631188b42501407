"""Content: items whose texts mean alike, by the centred cosine of their vectors."""

import numpy as np

from recmesh_worker.models.base import Artifact, Batch, Dataset, Ids, Mask, Scores
from recmesh_worker.models.best import Best

_FEW = 16
"""Where no more than one of so many rows may be answered, the product is with those alone."""


class ContentModel:
    """Nearest vectors. The vectors are the catalog's own, so there is nothing to learn."""

    name = "content"

    def fit(self, dataset: Dataset) -> Artifact:
        """Nothing to learn: an empty artifact."""
        return Artifact()

    def load(self, artifact: Artifact) -> None:
        """Nothing to load."""

    def top_k(self, batch: Batch, k: int, mask: Mask) -> tuple[Ids, Scores]:
        """Nearest rows by centred cosine in [-1, 1]: one matrix product for the whole batch."""
        best = Best(len(batch), min(k, mask.shape[-1]))
        if np.count_nonzero(mask) * _FEW <= mask.shape[-1]:
            return self._of_few(batch, best, mask)
        for first, scores in batch.memory.cosine_blocks(batch.vectors, batch.centred):
            best.offer(first, scores, mask[..., first : first + scores.shape[1]])
        return best.found()

    def _of_few(self, batch: Batch, best: Best, mask: Mask) -> tuple[Ids, Scores]:
        rows = np.flatnonzero(mask if mask.ndim == 1 else mask.any(axis=0))
        if len(rows):
            scores = batch.memory.cosines(batch.vectors, batch.centred, rows)
            best.offer(0, scores, mask[..., rows])
        places, scores = best.found()
        return np.where(places < 0, -1, rows[places] if len(rows) else -1), scores

    def score(self, batch: Batch, ids: Ids) -> Scores:
        """The centred cosines of given rows."""
        scores = batch.memory.cosines(batch.vectors, batch.centred)
        return np.take_along_axis(scores, ids, axis=1)
