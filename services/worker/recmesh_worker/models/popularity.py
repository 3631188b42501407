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
        k = min(k, mask.shape[-1])
        ids = np.full((len(batch), k), -1, np.int64)
        scores = np.full((len(batch), k), -np.inf, np.float32)
        for seed, allowed in enumerate(np.broadcast_to(mask, (len(batch), mask.shape[-1]))):
            places = np.flatnonzero(allowed[order])[:k]
            ids[seed, : len(places)] = order[places]
            scores[seed, : len(places)] = 1 - places / len(order)
        return ids, scores
