"""An encoder that stands in for a real one."""

import re
import threading
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recmesh_jobs.items import Vector
from recmesh_worker.encoder import Encoder

DIMENSIONS = 16
_WAIT_SECONDS = 60.0


class WordEncoder(Encoder):
    """Stands in for a sentence encoder: each word has a direction of its own, and a text is their sum."""

    def __init__(self, name: str = "words") -> None:
        super().__init__(name)
        self.id_ = f"{name}-{DIMENSIONS}"
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.encode_gate = threading.Event()
        self.encode_gate.set()
        self.texts: list[str] = []
        self._loaded = False

    @property
    def loaded(self) -> bool:
        return self._loaded

    @property
    def id(self) -> str:
        return self.id_

    @property
    def dimensions(self) -> int:
        return DIMENSIONS

    def identify(self) -> str:
        return self.id_

    def load(self) -> None:
        self.gate.wait(_WAIT_SECONDS)
        if self.error is not None:
            raise self.error
        self._loaded = True

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += texts
        self.encode_gate.wait(_WAIT_SECONDS)
        if any("unspeakable" in one.lower() for one in texts):
            raise RuntimeError("a text that breaks the encoder")
        return np.stack([vector(one) for one in texts])


def vector(words: str) -> Vector:
    """What `WordEncoder` makes of a text."""
    sums = np.full(DIMENSIONS, 1e-3, np.float32)
    for word in re.findall(r"\w+", words.lower()):
        sums[zlib.crc32(word.encode()) % DIMENSIONS] += 1
    return (sums / np.linalg.norm(sums)).astype(np.float32)
