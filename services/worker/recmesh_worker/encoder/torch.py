"""Models of any kind, by sentence-transformers: for what the graph does not compute."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers.utils import logging


class TorchModel:
    """A sentence-transformers model.

    Args:
        folder: The model's files.
        threads: How many torch computes with, in the whole process.
    """

    def __init__(self, folder: Path, *, threads: int) -> None:
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        torch.set_num_threads(threads)
        self._model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (n, d) of unit length; the texts should be of about one length."""
        vectors = self._model.encode(
            list(texts),
            batch_size=len(texts),
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, np.float32)
