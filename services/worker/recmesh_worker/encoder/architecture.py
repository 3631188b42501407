"""What a sentence-transformers folder says about its model, as far as the graph needs it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FIXED = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
}
"""What `encoder/graph.py` computes; a model of another kind would get wrong vectors."""
_NEEDED = (
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_size",
    "max_position_embeddings",
    "layer_norm_eps",
)
_LAYERS = ("Transformer", "Pooling", "Normalize")
_POOLING = ("mean_tokens", "cls_token")


class Unsupported(Exception):
    """The model is none that the graph computes; the message says what differs."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A BERT model with pooled tokens."""

    layers: int
    heads: int
    width: int
    epsilon: float
    most_tokens: int
    """What is longer is cut; the two marks around a text count."""
    lowercase: bool
    """Whether texts are lowercased before they are tokenised."""
    mean: bool
    """Whether a text's vector is the mean of its tokens' vectors; otherwise it is the first one's."""

    @staticmethod
    def of(folder: Path) -> Architecture:
        """Reads the settings of a model; its weights are not read.

        Raises:
            Unsupported: It is none that the graph computes.
            OSError: A file cannot be read.
        """
        for name in ("model.safetensors", "tokenizer.json", "modules.json"):
            if not (folder / name).is_file():
                raise Unsupported(f"it has no {name}")
        model = _read(folder / "config.json")
        for key, expected in _FIXED.items():
            if model.get(key, expected) != expected:
                raise Unsupported(f"its {key} is {model[key]!r}")
        for key in _NEEDED:
            if key not in model:
                raise Unsupported(f"its config.json has no {key}")
        if _read(folder / "config_sentence_transformers.json").get("default_prompt_name"):
            raise Unsupported("it puts a prompt before each text")
        sentence = _read(folder / "sentence_bert_config.json")
        positions = int(model["max_position_embeddings"])
        return Architecture(
            layers=int(model["num_hidden_layers"]),
            heads=int(model["num_attention_heads"]),
            width=int(model["hidden_size"]),
            epsilon=float(model["layer_norm_eps"]),
            most_tokens=min(int(sentence.get("max_seq_length") or positions), positions),
            lowercase=bool(sentence.get("do_lower_case")),
            mean=_pooling(folder) == "mean_tokens",
        )


def _pooling(folder: Path) -> str:
    modules = json.loads((folder / "modules.json").read_text())
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    if kinds not in (list(_LAYERS), list(_LAYERS[:2])):
        raise Unsupported(f"its layers are {', '.join(kinds)}")
    settings = _read(folder / modules[1]["path"] / "config.json")
    modes = [key.removeprefix("pooling_mode_") for key, on in settings.items() if on is True]
    pooled = [mode for mode in modes if mode.endswith(("tokens", "token"))]
    if len(pooled) != 1 or pooled[0] not in _POOLING:
        raise Unsupported(f"it pools by {', '.join(pooled) or 'a rule of its own'}")
    return pooled[0]


def _read(path: Path) -> dict[str, Any]:
    """A file of settings; none at all when it is not there."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found
