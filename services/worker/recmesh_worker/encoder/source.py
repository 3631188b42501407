"""Where a model's files are, and what names them."""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path

_PACKAGE = "package:"
_HASHED = ("*.safetensors", "*.bin", "*.json", "vocab.txt")


def folder(source: str) -> Path:
    """Where the model's files are; a hub id is fetched, or found in the hub's cache.

    Raises:
        OSError: there is no model at the source, or it cannot be read.
        ImportError: the package of the source is not installed.
    """
    if source.startswith(_PACKAGE):
        package = importlib.import_module(source.removeprefix(_PACKAGE))
        found = Path(package.get_model_path())
    elif Path(source).is_dir():
        found = Path(source)
    else:
        from huggingface_hub import snapshot_download

        found = Path(snapshot_download(source))
    if not (found / "config.json").is_file():
        msg = f"no sentence-transformers model at {found}: it has no config.json"
        raise FileNotFoundError(msg)
    return found


def dimensions(folder: Path) -> int:
    """The length of a vector, as the pooling layer's settings say."""
    for path in sorted(folder.rglob("config.json")):
        settings = json.loads(path.read_text())
        for key in ("word_embedding_dimension", "embedding_dimension"):
            if key in settings:
                return int(settings[key])
    return int(json.loads((folder / "config.json").read_text())["hidden_size"])


def checksum(folder: Path) -> str:
    """SHA-256 over the files that decide what a text's vector is, in hexadecimal."""
    total = hashlib.sha256()
    for path in sorted({p for pattern in _HASHED for p in folder.rglob(pattern)}):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder)} {digest}\n".encode())
    return total.hexdigest()
