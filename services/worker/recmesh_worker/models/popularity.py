"""Popularity: the same for everyone, what most people like first."""

import numpy as np

from recmesh_worker.models.base import Artifact, Batch, Dataset, Ids, Mask, Scores


class PopularityModel:
    """The catalog's popular order, as the read model has it at this moment."""

    name = "popularity"

    def fit(self, dataset: Dataset) -> Artifact:
        """Nothing to learn: popularity is kept by the read model."""
        return Artifact()

    def load(self, artifact: Artifact) -> None:
        """Nothing to load."""

    def top_k(self, batch: Batch, k: int, mask: Mask) -> tuple[Ids, Scores]:
        """The popular order; a score is the share of visible items that are not placed higher."""
        order = batch.memory.popular_rows()
        places = np.flatnonzero(mask[order])[:k]
        scores = (1 - places / max(len(order), 1)).astype(np.float32)
        shape = (len(batch), len(places))
        return np.broadcast_to(order[places], shape), np.broadcast_to(scores, shape)
