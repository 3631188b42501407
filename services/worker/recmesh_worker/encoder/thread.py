"""The one thread that an encoder runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from recmesh_kit.liveness import Pulse
from recmesh_worker.encoder.buckets import buckets
from recmesh_worker.encoder.cache import VectorCache
from recmesh_worker.encoder.encoder import Encoder

CACHED_TEXTS = 4_096
"""Texts whose vectors are kept: 6 MB for 384 dimensions."""


class EncoderThread:
    """An encoder on a thread of its own, for the event loop.

    Bulk work is handed over in small batches, one at a time, so that an interactive text waits for at most one of
    them. Use: `start()`, `await encode(...)`, `await aclose()`.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="encoder")
        self._bulk = asyncio.Lock()
        self._loading: asyncio.Task[None] | None = None
        self._cache = VectorCache(CACHED_TEXTS)
        self.pulse = Pulse()
        """Of the thread, once the encoder is loaded."""

    @property
    def ready(self) -> bool:
        """Whether the encoder is loaded and warm."""
        return self.encoder.loaded

    def start(self) -> None:
        """Begin to load in the background; a second call does nothing."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load(), name="encoder-load")

    async def wait_ready(self) -> None:
        """Wait until the encoder is loaded; raises what `Encoder.load` raised.

        Raises:
            RuntimeError: `start` was not called.
        """
        if self._loading is None:
            raise RuntimeError("the encoder was not started")
        await asyncio.shield(self._loading)

    async def encode(self, texts: Sequence[str], *, bulk: bool = False) -> NDArray[np.float32]:
        """Vectors (n, d) of unit length; waits for the encoder to be ready. See `Encoder.encode`.

        Bulk work gives way to interactive work between its small batches. The vectors of interactive texts are kept;
        bulk texts rarely come again.
        """
        await self.wait_ready()
        vectors = np.empty((len(texts), self.encoder.dimensions), np.float32)
        if not bulk:
            await self._encode_new(texts, vectors)
            return vectors
        for places in buckets(texts):
            async with self._bulk:
                vectors[places] = await self._run([texts[place] for place in places])
        return vectors

    async def aclose(self) -> None:
        """Finish what runs, drop what waits, and end the thread. Safe to call twice."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(
            None, lambda: self._executor.shutdown(wait=True, cancel_futures=True)
        )
        if self._loading is not None:
            await asyncio.gather(self._loading, return_exceptions=True)

    async def _encode_new(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Fills in the vectors of the texts; only those that are not kept are computed."""
        new: list[int] = []
        for place, text in enumerate(texts):
            kept = self._cache.get(text)
            if kept is None:
                new.append(place)
            else:
                vectors[place] = kept
        if new:
            vectors[new] = await self._run([texts[place] for place in new])
            for place in new:
                self._cache.put(texts[place], vectors[place])

    async def _load(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, self.encoder.load)

    async def _run(self, texts: Sequence[str]) -> NDArray[np.float32]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._executor, self.pulse.run, self.encoder.encode, texts
        )
