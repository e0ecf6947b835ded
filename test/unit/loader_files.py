"""Exported files for the tests of loading, and copies of them with something changed."""

from __future__ import annotations

import functools
import json
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import phalanx as px

WEIGHTS = np.linspace(-1, 1, 64 * 10, dtype=np.float32).reshape(64, 10)


def predict(x):
    """Class probabilities.

    Not part of the manifest.
    """
    return px.softmax(x @ WEIGHTS, axis=-1)


def combine(params, scale, flag):
    return {"sum": params["w"] * scale + params["b"], "pair": (flag, px.sum(params["w"]))}


def product(x, y):
    return x @ y


def first_four(x):
    return px.dynamic_slice(x, (0,), (4,))


@functools.cache
def folder() -> Path:
    """Where the files of this process are; they are small and the system cleans them away."""
    return Path(tempfile.mkdtemp(prefix="phalanx-loader-"))


@functools.cache
def predict_library() -> Path:
    return px.export(predict, folder() / "digits.so", "f32[n,64]").files["so"]


@functools.cache
def many_library() -> Path:
    """Several functions in one library."""
    return px.export([
        ("combine", combine, {"params": {"w": "f32[n]", "b": "f32[n]"}, "scale": "f32[]", "flag": "bool[k]"}),
        ("product", product, {"x": "f32[a,b]", "y": "f32[b,c]"}),
        ("first_four", first_four, {"x": "i16[n]"}),
        ("fixed", lambda x, y: (x + y, x * y), ["f64[2,3]", "f64[2,3]"]),
        ("narrow", lambda x: x + x, ["bf16[n]"]),
        ("constant", lambda: px.asarray([1.0, 2.0]), {}),
    ], folder() / "many.so", target="x86-64-v2").files["so"]


def section(data: bytes) -> tuple[int, int]:
    """Offset and size of the manifest in a library."""
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count, names_index = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * size) for i in range(count)]
    names = headers[names_index][4]
    for header in headers:
        at = names + header[0]
        if data[at:data.index(b"\0", at)] == b".phalanx.manifest":
            return header[4], header[5]
    raise AssertionError("no manifest section")


def edited(path: Path, change: Callable[[dict[str, Any]], object], name: str = "edited.so") -> Path:
    """A copy of a library whose manifest went through `change`, which must not make it much longer."""
    data = path.read_bytes()
    offset, size = section(data)
    manifest = json.loads(data[offset:offset + size].rstrip(b"\0"))
    for function in manifest["functions"]:
        function["doc"] = ""  # room for the change
    manifest["status"] = {"0": "ok"}
    change(manifest)
    return rewritten(path, json.dumps(manifest, separators=(",", ":")).encode(), name)


def rewritten(path: Path, manifest: bytes, name: str = "edited.so") -> Path:
    """A copy of a library with other bytes for a manifest."""
    data = path.read_bytes()
    offset, size = section(data)
    assert len(manifest) < size, f"{len(manifest)} bytes do not fit into {size}"
    copy = Path(tempfile.mkdtemp(dir=folder())) / name
    copy.write_bytes(data[:offset] + manifest.ljust(size, b"\0") + data[offset + size:])
    return copy
