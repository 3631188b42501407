"""Models by ONNX Runtime, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tokenizers import Tokenizer

from recmesh_worker.encoder import graph, weights
from recmesh_worker.encoder.architecture import Architecture

_ERRORS_ONLY = 3


class OnnxModel:
    """A BERT encoder. The graph is made anew at each start, which takes less than a second: no file to keep true.

    Args:
        folder: The model's files.
        shape: What they say about it.
        int8: Whether it computes with 8-bit integers.
        threads: How many it computes with.
    """

    def __init__(self, folder: Path, shape: Architecture, *, int8: bool, threads: int) -> None:
        self._shape = shape
        self._int8 = int8
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(shape.most_tokens)
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _ERRORS_ONLY
        # An idle thread that spins takes a core from the event loop.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # What an arena once took for a long batch it would keep.
        options.enable_cpu_mem_arena = False
        file = folder / "model.safetensors"
        model = graph.build(shape, weights.read(file), int8=int8)
        # Mapped anew, so that of the file only this stays mapped; the session refers to it for as long as it lives.
        words = np.asarray(weights.read(file)[graph.WORDS], np.float32)
        self._words = onnxruntime.OrtValue.ortvalue_from_numpy(words)
        options.add_external_initializers([graph.WORDS], [self._words])
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (n, d) of unit length; the texts should be of about one length."""
        if self._shape.lowercase:
            texts = [text.lower() for text in texts]
        encoded = [one.ids for one in self._tokenizer.encode_batch_fast(list(texts))]
        # Alone with integers: the scale of a tensor is that of all texts in it, and a text's vector may not depend on
        # its neighbours.
        step = 1 if self._int8 else len(encoded)
        parts = [self._pooled(encoded[at : at + step]) for at in range(0, len(encoded), step)]
        vectors = np.concatenate(parts)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        units: NDArray[np.float32] = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
        return units

    def _pooled(self, encoded: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        lengths = np.array([len(ids) for ids in encoded], np.int32)
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int32)
        tokens = np.zeros(mask.shape, np.int32)
        tokens[mask == 1] = np.concatenate(encoded)
        inputs = {graph.TOKENS: tokens, graph.MASK: mask}
        found: NDArray[np.float32] = self._session.run(None, inputs)[0]
        if not self._shape.mean:
            first: NDArray[np.float32] = found[:, 0]
            return first
        sums = np.matmul(mask[:, None, :].astype(np.float32), found)[:, 0]
        means: NDArray[np.float32] = sums / lengths[:, None].astype(np.float32)
        return means
