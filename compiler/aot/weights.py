"""Captured tensors in a safetensors file beside the library."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from typing import NamedTuple

from phalanx.compiler.aot.data import ALIGNMENT
from phalanx.compiler.aot.entries import Captured, Entry, with_file

_DTYPES = {"bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64", "uint8": "U8", "uint16": "U16",
           "uint32": "U32", "uint64": "U64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"}


class External(NamedTuple):
    """Entries that read their large tensors from a file, and that file."""

    entries: list[Entry]
    data: bytes
    sha256: str

    @property
    def identity(self) -> bytes:
        """The bytes by which a library knows its file."""
        return self.sha256[:16].encode()


def externalise(entries: Sequence[Entry]) -> External | None:
    """Move every large captured tensor into one file, each on a multiple of 64 bytes; None when there is none."""
    tensors: dict[str, Captured] = {}
    for entry in entries:
        for captured in entry.captured:
            if captured.where == "section":
                tensors.setdefault(captured.symbol, captured)
    if not tensors:
        return None
    places: dict[str, int] = {}
    body = bytearray()
    for symbol, captured in tensors.items():
        body += b"\0" * (-len(body) % ALIGNMENT)
        places[symbol] = len(body)
        body += captured.data
    digest = hashlib.sha256(body).hexdigest()
    header: dict[str, object] = {"__metadata__": {"phalanx": digest}}
    for symbol, captured in tensors.items():
        start = places[symbol]
        header[symbol] = {"dtype": _DTYPES[captured.dtype.name], "shape": list(captured.shape),
                          "data_offsets": [start, start + len(captured.data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    data = struct.pack("<Q", len(text)) + text + bytes(body)
    offsets = {symbol: 8 + len(text) + place for symbol, place in places.items()}
    return External([with_file(entry, offsets) for entry in entries], data, digest)
