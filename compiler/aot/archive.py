"""Static libraries: an `ar` archive of one object with its symbol index."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def archive(name: str, data: bytes, symbols: Sequence[str]) -> bytes:
    """Bytes of a `.a` (System V format) that holds one object and says which symbols it defines."""
    names = b"".join(symbol.encode() + b"\0" for symbol in symbols)
    index_size = 4 + 4 * len(symbols) + len(names)
    label = f"{name}.o/"
    long_names = f"{label}\n".encode() if len(label) > 16 else b""
    start = 8 + _padded(60 + index_size) + (_padded(60 + len(long_names)) if long_names else 0)
    index = struct.pack(f">{1 + len(symbols)}I", len(symbols), *([start] * len(symbols))) + names
    parts = [b"!<arch>\n", _member("/", index)]
    if long_names:
        parts.append(_member("//", long_names))
        label = "/0"
    return b"".join([*parts, _member(label, data)])


def _padded(size: int) -> int:
    return size + size % 2


def _member(name: str, data: bytes) -> bytes:
    """Header without date, owner or mode of this machine, contents, padding to an even size."""
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'644':<8}{len(data):<10}`\n".encode()
    return header + data + b"\n" * (len(data) % 2)
