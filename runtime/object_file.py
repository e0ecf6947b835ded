"""Names an object file defines and needs, read straight from its symbol table (ELF64, Mach-O 64).

LLVM's loader reports unresolved names only as "Failed to materialize symbols"; reading the table first lets
`runtime/jit.py` name them, and lets the compiler record them without keeping a module alive.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from phalanx.dialects.errors import ArtifactError
from phalanx.dialects.records import record

_JOINED = b"PXOBJECTS1\0"
_ELF_MAGIC = b"\x7fELF\x02\x01"
_MACHO_MAGIC = b"\xcf\xfa\xed\xfe"
_ELF_MACHINES = {62: "x86_64", 183: "aarch64"}
_MACHO_MACHINES = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_ELF_SYMBOL_TABLE = 2
_ELF_LOCAL, _ELF_SECTION, _ELF_FILE = 0, 3, 4
_ELF_HIDDEN = 2
_MACHO_SYMTAB = 2
_MACHO_STAB, _MACHO_PRIVATE, _MACHO_EXTERNAL, _MACHO_TYPE = 0xE0, 0x10, 0x01, 0x0E


@record
class SymbolTable:
    """Global names of an object: `defined` (visible to others) and `undefined` (needed from others).

    `machine` is the architecture it was made for, "x86_64" or "aarch64"; `hidden` names are for objects it is joined with.
    """

    machine: str
    defined: tuple[str, ...]
    undefined: tuple[str, ...]
    hidden: tuple[str, ...] = ()


def join(objects: Sequence[bytes]) -> bytes:
    """Several objects that belong together as one piece of bytes; a single one stays as it is."""
    if len(objects) == 1:
        return objects[0]
    return b"".join([_JOINED, struct.pack("<I", len(objects)), *[struct.pack("<Q", len(o)) for o in objects], *objects])


def separate(data: bytes) -> list[bytes]:
    """What `join` put together.

    >>> separate(join([b"one", b"two"]))
    [b'one', b'two']
    """
    if not data.startswith(_JOINED):
        return [data]
    try:
        at = len(_JOINED)
        (count,) = struct.unpack_from("<I", data, at)
        sizes = struct.unpack_from(f"<{count}Q", data, at + 4)
    except struct.error as error:
        raise ArtifactError(f"joined objects are cut short: {error}") from error
    at += 4 + 8 * count
    if at + sum(sizes) != len(data):
        raise ArtifactError(f"joined objects are cut short: {len(data)} bytes, expected {at + sum(sizes)}")
    found = []
    for size in sizes:
        found.append(data[at:at + size])
        at += size
    return found


def read_symbols(data: bytes) -> SymbolTable:
    """Symbol table of a relocatable object, or of several joined ones.

    >>> read_symbols(artifact.object).undefined
    ('expf', 'memcpy')
    """
    objects = separate(data)
    if len(objects) > 1:
        tables = [read_symbols(o) for o in objects]
        defined = {name for table in tables for name in table.defined}
        hidden = {name for table in tables for name in table.hidden}
        needed = {name for table in tables for name in table.undefined}
        return _table(tables[0].machine, [*defined], [*(needed - defined - hidden)], [*hidden])
    try:
        if data.startswith(_ELF_MAGIC):
            return _read_elf(data)
        if data.startswith(_MACHO_MAGIC):
            return _read_macho(data)
    except (struct.error, ValueError) as error:
        raise ArtifactError(f"object file is cut short or damaged: {error}") from error
    raise ArtifactError(f"not an ELF64 or Mach-O object: it starts with {data[:4]!r}")


def _table(machine: str | None, defined: list[str], undefined: list[str], hidden: list[str]) -> SymbolTable:
    return SymbolTable(machine or "unknown", tuple(sorted(defined)), tuple(sorted(undefined)), tuple(sorted(hidden)))


def _name(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()


def _read_elf(data: bytes) -> SymbolTable:
    (machine,) = struct.unpack_from("<H", data, 18)
    (section_offset,) = struct.unpack_from("<Q", data, 40)
    entry_size, count = struct.unpack_from("<HH", data, 58)
    offsets = range(section_offset, section_offset + count * entry_size, entry_size)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, offset) for offset in offsets]
    defined: list[str] = []
    undefined: list[str] = []
    hidden: list[str] = []
    for section in sections:
        kind, offset, size, link = section[1], section[4], section[5], section[6]
        if kind != _ELF_SYMBOL_TABLE:
            continue
        strings = sections[link][4]
        for at in range(offset, offset + size, 24):
            name, info, other, home, _value, _size = struct.unpack_from("<IBBHQQ", data, at)
            if not name or info >> 4 == _ELF_LOCAL or info & 15 in (_ELF_SECTION, _ELF_FILE):
                continue
            if home == 0:
                undefined.append(_name(data, strings + name))
            else:
                (hidden if other & 3 == _ELF_HIDDEN else defined).append(_name(data, strings + name))
    return _table(_ELF_MACHINES.get(machine), defined, undefined, hidden)


def _read_macho(data: bytes) -> SymbolTable:
    (machine,) = struct.unpack_from("<I", data, 4)
    (command_count,) = struct.unpack_from("<I", data, 16)
    defined: list[str] = []
    undefined: list[str] = []
    hidden: list[str] = []
    at = 32
    for _ in range(command_count):
        command, size = struct.unpack_from("<II", data, at)
        if command == _MACHO_SYMTAB:
            symbols, count, strings, _strings_size = struct.unpack_from("<IIII", data, at + 8)
            for i in range(count):
                start, kind, _, _, _ = struct.unpack_from("<IBBHQ", data, symbols + 16 * i)
                if kind & _MACHO_STAB or not kind & _MACHO_EXTERNAL:
                    continue
                name = _name(data, strings + start).removeprefix("_")  # C names carry one underscore there
                if kind & _MACHO_TYPE == 0:
                    undefined.append(name)
                else:
                    (hidden if kind & _MACHO_PRIVATE else defined).append(name)
        at += size
    return _table(_MACHO_MACHINES.get(machine), defined, undefined, hidden)
