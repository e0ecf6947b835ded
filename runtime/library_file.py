"""Reads an exported library as a file, before any of its code is mapped: format, machine, manifest.

The system's loader runs code of a library and does not survive a truncated one, so nothing is handed to it that did
not pass here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from phalanx.dialects.errors import ArtifactError
from phalanx.runtime.manifest import LARGEST_MANIFEST

SECTION = b".phalanx.manifest"

_MACHINES = {3: "x86 (32 bits)", 40: "arm (32 bits)", 62: "x86_64", 183: "aarch64", 243: "riscv"}
_SHARED_OBJECT = 3
_LOADED_SEGMENT = 1
_OTHER_FORMATS = (
    (b"MZ", "a Windows library"), (b"\xcf\xfa\xed\xfe", "a macOS library"), (b"\xca\xfe\xba\xbe", "a macOS library"),
    (b"!<arch>", "an archive of objects"), (b"PK", "a zip file"), (b"BC\xc0\xde", "LLVM bitcode"),
)


class Readable(Protocol):
    """Bytes, or a mapped file."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes: ...


@dataclass(frozen=True)
class LibraryFile:
    """Machine and manifest text of a library."""

    machine: str
    manifest: bytes


def read(data: Readable, name: str) -> LibraryFile:
    """Check the file called `name` and take its manifest out.

    Raises ArtifactError for anything that is not a whole 64-bit ELF library made by Phalanx.
    """
    start = data[:64]
    if not start.startswith(b"\x7fELF"):
        kind = next((text for magic, text in _OTHER_FORMATS if start.startswith(magic)), f"it starts with {start[:8]!r}")
        raise ArtifactError(f"{name}: not a shared library of this system, {kind}" if start
                            else f"{name}: the file is empty")
    try:
        return _read_elf(data, name)
    except (struct.error, ValueError) as error:
        raise _damaged(name) from error


def _damaged(name: str) -> ArtifactError:
    return ArtifactError(f"{name}: the file is cut short or damaged", hint="copy or export it again")


def _read_elf(data: Readable, name: str) -> LibraryFile:
    start = data[:64]
    if start[4:6] != b"\x02\x01":
        raise ArtifactError(f"{name}: not a 64-bit little-endian library")
    kind, machine = struct.unpack_from("<HH", start, 16)
    if kind != _SHARED_OBJECT:
        raise ArtifactError(f"{name}: not a shared library, ELF type {kind}",
                            hint="link it first" if kind == 1 else None)
    _check_segments(data, start, name)
    for title, offset, size in _sections(data, start):
        if title == SECTION:
            if size > LARGEST_MANIFEST:
                raise ArtifactError(f"{name}: its manifest claims {size} bytes")
            return LibraryFile(_MACHINES.get(machine, f"machine {machine}"), _slice(data, offset, size).split(b"\0")[0])
    raise ArtifactError(f"{name}: not made by Phalanx, it has no manifest")


def _slice(data: Readable, offset: int, size: int) -> bytes:
    if offset + size > len(data):
        raise ValueError("beyond the end")
    return bytes(data[offset:offset + size])


def _check_segments(data: Readable, start: bytes, name: str) -> None:
    """Every byte that would be mapped is there; the processor would fault on the first one that is not."""
    (offset,) = struct.unpack_from("<Q", start, 32)
    size, count = struct.unpack_from("<HH", start, 54)
    for index in range(count):
        header = _slice(data, offset + index * size, 56)
        kind, _, place, _, _, stored, _, _ = struct.unpack("<IIQQQQQQ", header)
        if kind == _LOADED_SEGMENT and place + stored > len(data):
            raise _damaged(name)


def _sections(data: Readable, start: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset and size of every section."""
    (table,) = struct.unpack_from("<Q", start, 40)
    size, count, names_index = struct.unpack_from("<HHH", start, 58)
    headers = [struct.unpack("<IIQQQQIIQQ", _slice(data, table + i * size, 64)) for i in range(count)]
    if names_index >= count:
        return
    names = _slice(data, headers[names_index][4], headers[names_index][5])
    for header in headers:
        if header[1] != 8:  # SHT_NOBITS has no bytes in the file
            yield names[header[0]:names.index(b"\0", header[0])], header[4], header[5]
