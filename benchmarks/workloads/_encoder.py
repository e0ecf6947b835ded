"""The MiniLM encoder in NumPy's and JAX's words and as an ONNX graph; weights are a flat dict of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.random import Generator

from benchmarks.harness.workload import Arrays

LAYERS, HEADS, WIDTH, HIDDEN, WORDS, PLACES, EPSILON = 6, 12, 384, 1536, 30522, 512, 1e-12
DENSE = {
    "attention.self.query": (WIDTH, WIDTH),
    "attention.self.key": (WIDTH, WIDTH),
    "attention.self.value": (WIDTH, WIDTH),
    "attention.output.dense": (WIDTH, WIDTH),
    "intermediate.dense": (HIDDEN, WIDTH),
    "output.dense": (WIDTH, HIDDEN),
}
NORMS = "attention.output.LayerNorm", "output.LayerNorm"


def weights(rng: Generator) -> Arrays:
    """Random numbers in the shapes, and under the names, of the published weights."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (WORDS, WIDTH),
        "embeddings.position_embeddings.weight": (PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        norms += [prefix + name for name in NORMS]
        for name, shape in DENSE.items():
            shapes[f"{prefix}{name}.weight"] = shape
            shapes[f"{prefix}{name}.bias"] = shape[:1]
    made = {name: rng.standard_normal(shape, "float32") * 0.05 for name, shape in shapes.items()}
    for name in norms:
        made[f"{name}.weight"] = 1 + rng.standard_normal(WIDTH, "float32") * 0.05
        made[f"{name}.bias"] = rng.standard_normal(WIDTH, "float32") * 0.05
    return made


def nested(flat: Arrays, convert: Callable[[Any], Any]) -> dict[str, Any]:
    """Dicts in dicts, as examples/minilm.py takes them."""
    tree: dict[str, Any] = {}
    for name, array in flat.items():
        *path, last = name.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[last] = convert(array)
    return tree


def encode(xp: Any, erf: Callable[[Any], Any], w: Any, tokens: Any, mask: Any) -> Any:
    """Unit vectors, one per sentence; `xp` is numpy or jax.numpy."""

    def dense(name: str, x: Any) -> Any:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name: str, x: Any) -> Any:
        centred = x - xp.mean(x, axis=-1, keepdims=True)
        variance = xp.mean(centred * centred, axis=-1, keepdims=True)
        return centred / xp.sqrt(variance + EPSILON) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def heads(name: str, x: Any) -> Any:
        return dense(name, x).reshape(batch, length, HEADS, WIDTH // HEADS).swapaxes(1, 2)

    batch, length = tokens.shape
    x = w["embeddings.word_embeddings.weight"][tokens] + w["embeddings.position_embeddings.weight"][:length]
    x = norm("embeddings.LayerNorm", x + w["embeddings.token_type_embeddings.weight"][0])
    bias = xp.where(mask == 0, xp.float32(-xp.inf), xp.float32(0))[:, None, None, :]
    scale, half, root = xp.float32((WIDTH // HEADS) ** -0.5), xp.float32(0.5), xp.float32(0.5**0.5)
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        query, key, value = (heads(f"{prefix}attention.self.{name}", x) for name in ("query", "key", "value"))
        scores = query @ key.swapaxes(-1, -2) * scale + bias
        powers = xp.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = powers / powers.sum(axis=-1, keepdims=True) @ value
        mixed = mixed.swapaxes(1, 2).reshape(batch, length, WIDTH)
        x = norm(f"{prefix}attention.output.LayerNorm", dense(f"{prefix}attention.output.dense", mixed) + x)
        hidden = dense(f"{prefix}intermediate.dense", x)
        hidden = half * hidden * (1 + erf(hidden * root))
        x = norm(f"{prefix}output.LayerNorm", dense(f"{prefix}output.dense", hidden) + x)
    weight = mask[:, :, None].astype("float32")
    mean = (x * weight).sum(axis=1) / weight.sum(axis=1)
    return mean / xp.sqrt((mean * mean).sum(axis=-1, keepdims=True))


class Graph:
    """An ONNX graph of the encoder, written node by node with onnx.helper."""

    def __init__(self, flat: Arrays, batch: int, length: int) -> None:
        self.flat, self.batch, self.length = flat, batch, length
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any, dtype: str = "float32") -> str:
        import numpy as np

        name = f"constant{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def weight(self, name: str, transpose: bool = False) -> str:
        if name not in self.constants:
            self.constants[name] = self.flat[name].T.copy() if transpose else self.flat[name]
        return name

    def dense(self, name: str, x: str) -> str:
        product = self.add("MatMul", x, self.weight(f"{name}.weight", transpose=True))
        return self.add("Add", product, self.weight(f"{name}.bias"))

    def norm(self, name: str, x: str) -> str:
        return self.add("LayerNormalization", x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), epsilon=EPSILON)

    def heads(self, name: str, x: str, order: tuple[int, ...]) -> str:
        shape = self.constant((self.batch, self.length, HEADS, WIDTH // HEADS), "int64")
        return self.add("Transpose", self.add("Reshape", self.dense(name, x), shape), perm=order)

    def encoder(self) -> str:
        """The name of the result; inputs are `tokens` and `mask`."""
        words = self.add("Gather", self.weight("embeddings.word_embeddings.weight"), "tokens")
        places = self.flat["embeddings.position_embeddings.weight"][: self.length]
        x = self.add("Add", words, self.constant(places + self.flat["embeddings.token_type_embeddings.weight"][0]))
        x = self.norm("embeddings.LayerNorm", x)
        seen = self.add("Cast", "mask", to=9)
        bias = self.add("Where", seen, self.constant(0.0), self.constant(float("-inf")))
        bias = self.add("Unsqueeze", bias, self.constant((1, 2), "int64"))
        for layer in range(LAYERS):
            x = self.layer(f"encoder.layer.{layer}.", x, bias)
        weight = self.add("Unsqueeze", self.add("Cast", "mask", to=1), self.constant((2,), "int64"))
        one = self.constant((1,), "int64")
        total = self.add("ReduceSum", self.add("Mul", x, weight), one, keepdims=0)
        mean = self.add("Div", total, self.add("ReduceSum", weight, one, keepdims=0))
        return self.add("LpNormalization", mean, axis=-1, p=2)

    def layer(self, prefix: str, x: str, bias: str) -> str:
        query = self.heads(f"{prefix}attention.self.query", x, (0, 2, 1, 3))
        key = self.heads(f"{prefix}attention.self.key", x, (0, 2, 3, 1))
        value = self.heads(f"{prefix}attention.self.value", x, (0, 2, 1, 3))
        scores = self.add("Mul", self.add("MatMul", query, key), self.constant((WIDTH // HEADS) ** -0.5))
        mixed = self.add("MatMul", self.add("Softmax", self.add("Add", scores, bias), axis=-1), value)
        shape = self.constant((self.batch, self.length, WIDTH), "int64")
        mixed = self.add("Reshape", self.add("Transpose", mixed, perm=(0, 2, 1, 3)), shape)
        mixed = self.dense(f"{prefix}attention.output.dense", mixed)
        x = self.norm(f"{prefix}attention.output.LayerNorm", self.add("Add", mixed, x))
        hidden = self.add("Gelu", self.dense(f"{prefix}intermediate.dense", x))
        return self.norm(f"{prefix}output.LayerNorm", self.add("Add", self.dense(f"{prefix}output.dense", hidden), x))

    def model(self) -> bytes:
        """The serialized model."""
        from onnx import TensorProto, helper, numpy_helper

        result = self.encoder()
        shape = [self.batch, self.length]
        given = [helper.make_tensor_value_info(name, TensorProto.INT32, shape) for name in ("tokens", "mask")]
        made = [helper.make_tensor_value_info(result, TensorProto.FLOAT, [self.batch, WIDTH])]
        constants = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph(self.nodes, "encoder", given, made, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        serialized: bytes = model.SerializeToString()
        return serialized
