"""A model's weights, mapped from their file rather than read into memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recmesh_worker.encoder.architecture import Unsupported

_TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype(np.float32), "F16": np.dtype(np.float16)}
_LENGTH_BYTES = 8
_PREFIX = "bert."

Weights = dict[str, NDArray[Any]]


def read(path: Path) -> Weights:
    """The tensors of a safetensors file by name: its length-prefixed JSON header, then their bytes.

    Tensors of other types than float are left out; nothing of a model's computation is one.

    Raises:
        Unsupported: It has floats that numpy does not know.
        OSError: It cannot be read.
    """
    data = np.memmap(path, np.uint8, mode="r")
    start = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES].tobytes(), "little")
    header = json.loads(data[_LENGTH_BYTES:start].tobytes())
    header.pop("__metadata__", None)
    found: Weights = {}
    for name, entry in header.items():
        if entry["dtype"].startswith("BF"):
            raise Unsupported(f"its weights are {entry['dtype']}")
        if entry["dtype"] in _TYPES:
            first, end = entry["data_offsets"]
            values = data[start + first : start + end].view(_TYPES[entry["dtype"]])
            found[name.removeprefix(_PREFIX)] = values.reshape(entry["shape"])
    return found
