"""Content: items whose texts mean alike, by the centred cosine of their vectors."""

import numpy as np

from recmesh_worker.models.base import Artifact, Batch, Dataset, Ids, Mask, Scores

_OUT_OF_REACH = np.float32(4)
"""What is taken from a cosine that does not count."""


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
        scores = batch.memory.cosines(batch.vectors, batch.centred)
        # Out of reach but not all alike: finding the best among thousands of equal scores is slow.
        scores -= _OUT_OF_REACH * ~mask
        k = min(k, scores.shape[1])
        if k == 0:
            return np.empty((len(batch), 0), np.int64), np.empty((len(batch), 0), np.float32)
        ids = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]
        best = np.take_along_axis(scores, ids, axis=1)
        order = np.argsort(-best, axis=1, kind="stable")
        ids = np.take_along_axis(ids, order, axis=1)
        best = np.take_along_axis(best, order, axis=1)
        none = best < -_OUT_OF_REACH / 2
        ids[none], best[none] = -1, -np.inf
        return ids, best

    def score(self, batch: Batch, ids: Ids) -> Scores:
        """The centred cosines of given rows."""
        scores = batch.memory.cosines(batch.vectors, batch.centred)
        return np.take_along_axis(scores, ids, axis=1)
