"""Attention of 8 heads over 512 tokens, forward: two products with a softmax in between that is too large to be kept.

Torch has a kernel of its own for it, JAX and NumPy write it out. A numba user calls NumPy for products, so there is no
builder for numba; the ONNX graph is the three nodes MatMul, Softmax, MatMul.
"""

from __future__ import annotations

from typing import Any

from numpy.random import Generator

from benchmarks.harness.workload import TRANSCENDENTAL, Arrays, Call, Case, Sizes, Work


def _work(sizes: Sizes) -> Work:
    heads, tokens, size = sizes["heads"], sizes["tokens"], sizes["size"]
    scores = heads * tokens * tokens
    return Work(flops=4 * scores * size + (4 + TRANSCENDENTAL) * scores, bytes=16 * heads * tokens * size)


CASES = [Case("8x512x64", {"heads": 8, "tokens": 512, "size": 64}, _work)]
TINY = [Case("ragged", {"heads": 3, "tokens": 37, "size": 12}, _work)]
RTOL, ATOL = 1e-4, 1e-5


def inputs(case: Case, rng: Generator) -> Arrays:
    shape = case["heads"], case["tokens"], case["size"]
    return {name: rng.normal(size=shape).astype("float32") for name in ("query", "key", "value")}


def _scale(case: Case) -> float:
    return float(case["size"] ** -0.5)


def numpy(case: Case, a: Arrays) -> Call:
    import numpy as np

    scale = np.float32(_scale(case))

    def attention(query: Any, key: Any, value: Any) -> Any:
        weights = query @ key.swapaxes(-1, -2)
        weights *= scale
        weights -= weights.max(axis=-1, keepdims=True)
        np.exp(weights, out=weights)
        weights /= weights.sum(axis=-1, keepdims=True)
        return weights @ value

    return lambda: attention(a["query"], a["key"], a["value"])


def phalanx(case: Case, a: Arrays) -> Call:
    import phalanx as px

    scale = _scale(case)

    @px.defn
    def attention(query: Any, key: Any, value: Any) -> Any:
        return px.softmax(query @ px.matrix_transpose(key) * scale, axis=-1) @ value

    query, key, value = (px.asarray(a[name]) for name in ("query", "key", "value"))
    return lambda: attention(query, key, value)


def jax(case: Case, a: Arrays) -> Call:
    import jax

    scale = _scale(case)

    @jax.jit
    def attention(query: Any, key: Any, value: Any) -> Any:
        return jax.nn.softmax(query @ key.swapaxes(-1, -2) * scale, axis=-1) @ value

    query, key, value = (jax.device_put(a[name]) for name in ("query", "key", "value"))
    return lambda: attention(query, key, value).block_until_ready()


def torch(case: Case, a: Arrays) -> Call:
    import torch

    attention = torch.compile(torch.nn.functional.scaled_dot_product_attention)
    query, key, value = (torch.from_numpy(a[name])[None] for name in ("query", "key", "value"))

    def call() -> Any:
        with torch.inference_mode():
            return attention(query, key, value)[0]

    return call


def onnxruntime(case: Case, a: Arrays) -> Call:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime import InferenceSession

    shape = [case["heads"], case["tokens"], case["size"]]
    nodes = [
        helper.make_node("Transpose", ["key"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["query", "turned"], ["product"]),
        helper.make_node("Mul", ["product", "scale"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "value"], ["mixed"]),
    ]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("query", "key", "value")]
    made = [helper.make_tensor_value_info("mixed", TensorProto.FLOAT, shape)]
    scale = numpy_helper.from_array(np.array(_scale(case), np.float32), "scale")
    graph = helper.make_graph(nodes, "attention", given, made, [scale])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {name: a[name] for name in ("query", "key", "value")}
    return lambda: session.run(None, feed)[0]
