"""The computation of a BERT encoder as an ONNX graph, with the fused operations of ONNX Runtime.

After Devlin et al., "BERT", 2018. Written out rather than exported, so that a worker needs no torch; the operations of
`com.microsoft` are described in ONNX Runtime's ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from recmesh_worker.encoder.architecture import Architecture
from recmesh_worker.encoder.weights import Weights

TOKENS, MASK = "tokens", "mask"
"""The inputs: int32 (texts, tokens) each; the mask is 0 where there is padding."""
WORDS = "embeddings.word_embeddings.weight"
"""Half of all the weights, of which few are used; mapped from their file they take no memory."""
_FUSED = "com.microsoft"
_OPSET, _FUSED_OPSET, _IR = 21, 1, 10
_MOST = 127  # of a signed 8-bit weight; symmetric, so that zero stays zero

Floats = NDArray[np.float32]


def build(shape: Architecture, weights: Weights, *, int8: bool) -> bytes:
    """A serialised model: (texts, tokens) to the vectors of the tokens, float32 (texts, tokens, width).

    The vectors of the words are left out: they are to be given beside it, under the name of `WORDS`.

    Args:
        shape: What is computed.
        weights: By the names that transformers gives them.
        int8: Whether products are taken of 8-bit integers: weights with a scale for each column, activations with one
            for the whole tensor, so that a text's vector depends a little on what is computed with it.

    Raises:
        KeyError: A weight is missing.
    """
    return _Graph(shape, weights, int8=int8).serialised()


class _Graph:
    def __init__(self, shape: Architecture, weights: Weights, *, int8: bool) -> None:
        self._shape = shape
        self._weights = weights
        self._int8 = int8
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def serialised(self) -> bytes:
        self._constant("last", np.array([-1], np.int64))
        self._constant("floor", np.float32(self._shape.width * self._shape.epsilon))
        output = self._embedded()
        for layer in range(self._shape.layers):
            output = self._layer(f"encoder.layer.{layer}.", output)
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT32, ["texts", "tokens"])
            for name in (TOKENS, MASK)
        ]
        result = helper.make_tensor_value_info(
            output, TensorProto.FLOAT, ["texts", "tokens", self._shape.width]
        )
        graph = helper.make_graph(self._nodes, "bert", inputs, [result], self._constants)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, _FUSED_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR)
        return bytes(model.SerializeToString())

    def _embedded(self) -> str:
        name = "embeddings."
        # All tokens are of the first type: a text is one segment.
        places = self._weight(name + "position_embeddings.weight")
        places = places + self._weight(name + "token_type_embeddings.weight")[0]
        inputs = [
            TOKENS,
            "",
            self._beside(WORDS),
            self._constant("places", places),
            "",
            self._constant("embedded.scale", self._weight(name + "LayerNorm.weight")),
            self._constant("embedded.shift", self._weight(name + "LayerNorm.bias")),
            MASK,
        ]
        return self._fused(
            "EmbedLayerNormalization", inputs, "embedded", "lengths", epsilon=self._shape.epsilon
        )

    def _layer(self, name: str, tokens: str) -> str:
        attended = self._linear(
            self._attention(name + "attention.self.", tokens), name + "attention.output.dense"
        )
        tokens = self._normal(attended, tokens, name + "attention.output.LayerNorm")
        inner = self._linear(tokens, name + "intermediate.dense")
        inner = self._fused("Gelu", [inner], name + "gelu")
        return self._normal(
            self._linear(inner, name + "output.dense"), tokens, name + "output.LayerNorm"
        )

    def _attention(self, name: str, tokens: str) -> str:
        parts = [name + part for part in ("query", "key", "value")]
        matrix = np.concatenate([self._weight(part + ".weight") for part in parts]).T
        bias = self._constant(
            name + "bias", np.concatenate([self._weight(part + ".bias") for part in parts])
        )
        heads = self._shape.heads
        if not self._int8:
            inputs = [tokens, self._constant(name + "weight", matrix), bias, MASK]
            return self._fused("Attention", inputs, name + "out", num_heads=heads)
        number, scale, zero = self._node(
            "DynamicQuantizeLinear", [tokens], *(name + part for part in ("int", "scale", "zero"))
        )
        weight, weight_scale, weight_zero = self._quantised(name, matrix)
        inputs = [number, weight, bias, scale, weight_scale, MASK, zero, weight_zero]
        return self._fused("QAttention", inputs, name + "out", num_heads=heads)

    def _linear(self, tokens: str, name: str) -> str:
        matrix = self._weight(name + ".weight").T
        bias = self._constant(name + ".bias", self._weight(name + ".bias"))
        if self._int8:
            weight = self._quantised(name, matrix)
            return self._fused("DynamicQuantizeMatMul", [tokens, *weight, bias], name)
        inputs = [tokens, self._constant(name + ".weight", matrix)]
        (product,) = self._node("MatMul", inputs, name + ".product")
        return self._node("Add", [product, bias], name)[0]

    def _normal(self, new: str, old: str, name: str) -> str:
        """LayerNorm(new + old). In small steps, as the fused operation takes an eighth of all the time: its loop over
        a row does not use vector instructions. In a form that the optimiser does not fuse again.
        """
        root = np.float32(np.sqrt(self._shape.width))
        scale = self._constant(name + ".scale", self._weight(name + ".weight") * root)
        shift = self._constant(name + ".shift", self._weight(name + ".bias"))
        (total,) = self._node("Add", [new, old], name + ".sum")
        (mean,) = self._node("ReduceMean", [total, "last"], name + ".mean")
        (centred,) = self._node("Sub", [total, mean], name + ".centred")
        (squares,) = self._node("ReduceSumSquare", [centred, "last"], name + ".squares")
        (floored,) = self._node("Add", [squares, "floor"], name + ".floored")
        (length,) = self._node("Sqrt", [floored], name + ".length")
        (inverse,) = self._node("Reciprocal", [length], name + ".inverse")
        (unit,) = self._node("Mul", [centred, inverse], name + ".unit")
        (scaled,) = self._node("Mul", [unit, scale], name + ".scaled")
        return self._node("Add", [scaled, shift], name)[0]

    def _quantised(self, name: str, matrix: Floats) -> tuple[str, str, str]:
        """(inputs, outputs) as 8-bit integers, with the scale and the zero of each column."""
        scale = np.maximum(np.abs(matrix).max(0) / _MOST, np.finfo(np.float32).tiny)
        numbers = np.rint(matrix / scale).astype(np.int8)
        return (
            self._constant(name + ".int8", numbers),
            self._constant(name + ".int8_scale", scale.astype(np.float32)),
            self._constant(name + ".int8_zero", np.zeros(scale.shape, np.int8)),
        )

    def _weight(self, name: str) -> Floats:
        return np.asarray(self._weights[name], np.float32)

    def _constant(self, name: str, value: NDArray[Any] | np.float32) -> str:
        self._constants.append(
            numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name)
        )
        return name

    def _beside(self, name: str) -> str:
        """A constant whose values come with the session."""
        constant = TensorProto(name=name, data_type=TensorProto.FLOAT)
        constant.dims.extend(self._weights[name].shape)
        constant.data_location = TensorProto.EXTERNAL
        constant.external_data.add(key="location", value=name)
        self._constants.append(constant)
        return name

    def _node(self, kind: str, inputs: Sequence[str], *outputs: str) -> tuple[str, ...]:
        self._nodes.append(helper.make_node(kind, inputs, outputs, name=f"{outputs[0]}:{kind}"))
        return outputs

    def _fused(self, kind: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> str:
        name = f"{outputs[0]}:{kind}"
        node = helper.make_node(kind, inputs, outputs, name, domain=_FUSED, **attributes)
        self._nodes.append(node)
        return outputs[0]
