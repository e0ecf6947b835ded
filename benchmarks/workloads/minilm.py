"""The MiniLM sentence encoder, batch 1 and 8 at 128 tokens: a whole network as users have them.

Phalanx runs examples/minilm.py. The weights are random, in the shapes of the published ones. A numba user would not
write a network, so there is no builder for numba; the ONNX graph is made with onnx.helper, from the operators for
attention's parts, LayerNormalization and Gelu, that exporters emit.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from numpy.random import Generator

from benchmarks.harness.workload import Arrays, Call, Case, Sizes, Work
from benchmarks.workloads import _encoder
from benchmarks.workloads._encoder import HEADS, HIDDEN, LAYERS, WIDTH


def _work(sizes: Sizes) -> Work:
    tokens = sizes["batch"] * sizes["length"]
    dense = 2 * tokens * (4 * WIDTH * WIDTH + 2 * WIDTH * HIDDEN)
    products = 4 * tokens * sizes["length"] * WIDTH
    parameters = LAYERS * (4 * WIDTH * WIDTH + 2 * WIDTH * HIDDEN)
    return Work(flops=LAYERS * (dense + products), bytes=4 * (parameters + tokens * WIDTH))


CASES = [
    Case("batch 1", {"batch": 1, "length": 128}, _work),
    Case("batch 8", {"batch": 8, "length": 128}, _work),
]
TINY = [Case("3x11", {"batch": 3, "length": 11}, _work)]
RTOL, ATOL = 1e-4, 1e-5


def inputs(case: Case, rng: Generator) -> Arrays:
    arrays = _encoder.weights(rng)
    shape = case["batch"], case["length"]
    arrays["tokens"] = rng.integers(0, _encoder.WORDS, shape).astype("int32")
    lengths = rng.integers(case["length"] // 2, case["length"] + 1, shape[0])
    arrays["mask"] = (lengths[:, None] > range(case["length"])).astype("int32")
    return arrays


def _split(a: Arrays) -> tuple[Arrays, Arrays]:
    return {name: a[name] for name in a if name not in ("tokens", "mask")}, {name: a[name] for name in ("tokens", "mask")}


def numpy(case: Case, a: Arrays) -> Call:
    import numpy as np
    from scipy.special import erf

    return lambda: _encoder.encode(np, erf, a, a["tokens"], a["mask"])


def phalanx(case: Case, a: Arrays) -> Call:
    import phalanx as px

    path = Path(__file__).resolve().parents[2] / "examples" / "minilm.py"
    spec = importlib.util.spec_from_file_location("minilm_example", path)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    weights, given = _split(a)
    params = _encoder.nested(weights, px.asarray)
    tokens, mask = (px.asarray(array) for array in given.values())
    encoder = px.jit(lambda tokens, mask: example.encode(params, tokens, mask))
    return lambda: encoder(tokens, mask)


def jax(case: Case, a: Arrays) -> Call:
    import jax
    import jax.numpy as jnp

    weights, given = _split(a)
    params = jax.device_put(weights)
    tokens, mask = (jax.device_put(array) for array in given.values())
    encoder = jax.jit(lambda params, tokens, mask: _encoder.encode(jnp, jax.scipy.special.erf, params, tokens, mask))
    return lambda: encoder(params, tokens, mask).block_until_ready()


def torch(case: Case, a: Arrays) -> Call:
    import torch
    from torch.nn import functional

    w = {name: torch.from_numpy(array) for name, array in a.items()}
    width = _encoder.WIDTH

    def dense(name: str, x: Any) -> Any:
        return functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(name: str, x: Any) -> Any:
        return functional.layer_norm(x, (width,), w[f"{name}.weight"], w[f"{name}.bias"], _encoder.EPSILON)

    def heads(name: str, x: Any) -> Any:
        return dense(name, x).view(*x.shape[:2], HEADS, width // HEADS).transpose(1, 2)

    def encode(tokens: Any, mask: Any) -> Any:
        x = functional.embedding(tokens, w["embeddings.word_embeddings.weight"])
        x = x + w["embeddings.position_embeddings.weight"][: tokens.shape[1]]
        x = norm("embeddings.LayerNorm", x + w["embeddings.token_type_embeddings.weight"][0])
        seen = (mask != 0)[:, None, None, :]
        for layer in range(LAYERS):
            prefix = f"encoder.layer.{layer}."
            parts = [heads(f"{prefix}attention.self.{name}", x) for name in ("query", "key", "value")]
            mixed = functional.scaled_dot_product_attention(*parts, attn_mask=seen).transpose(1, 2).reshape(x.shape)
            x = norm(f"{prefix}attention.output.LayerNorm", dense(f"{prefix}attention.output.dense", mixed) + x)
            hidden = functional.gelu(dense(f"{prefix}intermediate.dense", x))
            x = norm(f"{prefix}output.LayerNorm", dense(f"{prefix}output.dense", hidden) + x)
        weight = mask[:, :, None].float()
        return functional.normalize((x * weight).sum(1) / weight.sum(1))

    encoder = torch.compile(encode)

    def call() -> Any:
        with torch.inference_mode():
            return encoder(w["tokens"], w["mask"])

    return call


def onnxruntime(case: Case, a: Arrays) -> Call:
    from onnxruntime import InferenceSession

    weights, given = _split(a)
    model = _encoder.Graph(weights, case["batch"], case["length"]).model()
    session = InferenceSession(model, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, given)[0]
