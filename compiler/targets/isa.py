"""What schedules and code generation need to know about a processor: one frozen record per instruction set.

>>> isa("x86-64-v3").gemm_tile("f32")
(6, 16)
>>> host().level
'x86-64-v4'
"""

from __future__ import annotations

import functools
import os
import platform
import sys
from pathlib import Path
from typing import Any

from phalanx.compiler.targets.llvm_c import host_cpu
from phalanx.dialects.errors import ArgumentError
from phalanx.dialects.records import record, replace

_KIB = 1024

# Element types computed in another type: half floats in f32; narrow integers are widened before they are
# multiplied.
_TILE_OF = {"f16": "f32", "bf16": "f32", "i8": "i32", "i16": "i32"}


@record
class Isa:
    """One instruction set and the machine assumed around it.

    `level` is the requirement (the code runs on every machine of that level), `tune` the machine it is
    arranged for. Sizes are bytes per core, except `l3_bytes`, shared by the cores. `gemm_tiles` are (dtype,
    rows, columns): the block of the result a matrix product keeps in registers.
    """

    name: str
    level: str
    cpu: str
    triple: str
    features: str
    tune: str
    vector_bits: int
    vector_registers: int
    gemm_tiles: tuple[tuple[str, int, int], ...]
    l1_bytes: int = 32 * _KIB
    l2_bytes: int = 512 * _KIB
    l3_bytes: int = 8192 * _KIB
    cores: int = 4

    def gemm_tile(self, dtype: str) -> tuple[int, int]:
        """(mr, nr) in elements for products of `dtype` ("f32", "f64", "f16", "bf16", "i32", ...)."""
        wanted = _TILE_OF.get(dtype, dtype)
        for name, rows, columns in self.gemm_tiles:
            if name == wanted:
                return rows, columns
        known = ", ".join([*(name for name, _, _ in self.gemm_tiles), *_TILE_OF])
        raise ArgumentError(f"gemm_tile: no tile for {dtype!r}; known: {known}")

    def lanes(self, bits: int) -> int:
        """Elements of `bits` bits in one vector register."""
        return max(1, self.vector_bits // bits)

    @property
    def architecture(self) -> str:
        """First part of the triple: "x86_64" or "aarch64"."""
        return "aarch64" if self.triple.startswith(("aarch64", "arm64")) else self.triple.split("-")[0]

    @property
    def system(self) -> str:
        """Operating system of the triple: "linux" or "macos"."""
        return "macos" if "-apple-" in self.triple else self.triple.split("-")[2]

    @property
    def function_attributes(self) -> tuple[tuple[str, str], ...]:
        """String attributes that every function of a module compiled for this record carries."""
        # Copies of rows stay loops: calling memcpy for each costs more, and ten times as much where the C library's string
        # instructions meet a target a few bytes behind its source in the page (Zen 4, a roll of 1024x1024 by 3).
        attributes = [("no-builtin-memcpy", "")]
        if self.tune:
            attributes.append(("tune-cpu", self.tune))
        arranged = "+" in self.name
        if self.architecture == "x86_64" and (self.vector_bits == 512 or arranged):
            # LLVM's loop vectoriser stays at 256 bits on AVX-512 machines unless told otherwise.
            attributes.append(("prefer-vector-width", str(self.vector_bits)))
        return tuple(attributes)


_LINUX_X86 = "x86_64-unknown-linux-gnu"

# Rows x columns such that accumulators + one row of the panel + one broadcast fit the registers. Columns are
# a power of two: LLVM splits vector<24xf32> badly (measured: ten times slower).
_TILES_SSE = (("f32", 6, 8), ("f64", 6, 4), ("i32", 6, 8), ("i64", 4, 4))
_TILES_AVX2 = (("f32", 6, 16), ("f64", 6, 8), ("i32", 6, 16), ("i64", 4, 8))
_TILES_AVX512 = (("f32", 12, 32), ("f64", 12, 16), ("i32", 12, 32), ("i64", 8, 16))
_TILES_NEON = (("f32", 8, 8), ("f64", 8, 4), ("i32", 8, 8), ("i64", 4, 4))

_V2 = Isa("x86-64-v2", "x86-64-v2", "x86-64-v2", _LINUX_X86, "", "", 128, 16, _TILES_SSE, l2_bytes=256 * _KIB)
_V3 = Isa("x86-64-v3", "x86-64-v3", "x86-64-v3", _LINUX_X86, "", "znver3", 256, 16, _TILES_AVX2)
_V4 = Isa(
    "x86-64-v4",
    "x86-64-v4",
    "x86-64-v4",
    _LINUX_X86,
    "",
    "znver4",
    512,
    32,
    _TILES_AVX512,
    l2_bytes=1024 * _KIB,
)

_ISAS = {
    record.name: record
    for record in (
        _V2,
        _V3,
        _V4,
        replace(_V3, name="znver3", cpu="znver3", l3_bytes=32768 * _KIB, cores=8),
        Isa("aarch64", "armv8-a", "generic", "aarch64-unknown-linux-gnu", "", "", 128, 32, _TILES_NEON),
        Isa(
            "apple-m1",
            "armv8.4-a",
            "apple-m1",
            "arm64-apple-macosx11.0.0",
            "",
            "",
            128,
            32,
            _TILES_NEON,
            l1_bytes=128 * _KIB,
            l2_bytes=12288 * _KIB,
        ),
    )
}

# Features each x86 level adds, by LLVM's names (psABI table, code generation features only).
_X86_LEVELS = (
    ("x86-64-v2", ("cx16", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3")),
    ("x86-64-v3", ("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")),
    ("x86-64-v4", ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")),
)


def names() -> list[str]:
    """Every name `isa` takes."""
    return ["host", *_ISAS]


#: what `name+field=value` may change: how code is arranged, never what it requires of the machine
_ARRANGEMENT = ("vector_bits", "l1_bytes", "l2_bytes", "l3_bytes", "cores")


def isa(name: str | Isa | None = None) -> Isa:
    """The record of that name; None and "host" mean this machine; a record is returned as it is.

    Words after a plus sign arrange the code differently for the same machine: vector width, cache sizes, cores, or
    the register block of products by element type.

    >>> isa("x86-64-v4+vector_bits=256+f32=6x32").gemm_tile("f32")
    (6, 32)

    Raises ArgumentError for an unknown name or word, or a vector width that the machine does not have.
    """
    if isinstance(name, Isa):
        return name
    if name is None or name == "host":
        return host()
    name, *words = name.split("+")
    if words:
        return _arranged(isa(name), tuple(words))
    if name not in _ISAS:
        import difflib  # for errors only

        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else None
        raise ArgumentError(f"isa: unknown instruction set {name!r}; known: {', '.join(names())}", hint=hint)
    return _ISAS[name]


@functools.lru_cache(256)
def _arranged(record: Isa, words: tuple[str, ...]) -> Isa:
    changes: dict[str, Any] = {}
    tiles = {dtype: (rows, columns) for dtype, rows, columns in record.gemm_tiles}
    for word in words:
        field, _, value = word.partition("=")
        rows, _, columns = value.partition("x")
        if field in _ARRANGEMENT and value.isdecimal() and int(value) > 0:
            changes[field] = int(value)
        elif field in tiles and rows.isdecimal() and columns.isdecimal() and int(rows) > 0 and int(columns) > 0:
            tiles[field] = (int(rows), int(columns))
        else:
            known = ", ".join(f"{name}=N" for name in _ARRANGEMENT) + ", " + ", ".join(f"{name}=RxC" for name in tiles)
            raise ArgumentError(f"isa: cannot arrange {record.name!r} by {word!r}; known: {known}")
    width: int = changes.get("vector_bits", record.vector_bits)
    if width > record.vector_bits or width & (width - 1) or width < 128:
        raise ArgumentError(f"isa: vector_bits={width} does not fit {record.name!r}",
                            hint=f"a power of two from 128 to {record.vector_bits}")
    return replace(record, name="+".join([record.name, *words]), **changes,
                   gemm_tiles=tuple((dtype, *tile) for dtype, tile in tiles.items()))


def x86_level(features: frozenset[str]) -> str:
    """Highest psABI level whose features are all present."""
    level = "x86-64"
    for name, needed in _X86_LEVELS:
        if not features.issuperset(needed):
            break
        level = name
    return level


def level_features(level: str) -> tuple[str, ...]:
    """Every feature code of a level may use, those of lower levels included; none are known for other machines.

    >>> level_features("x86-64-v2")
    ('cx16', 'popcnt', 'sse3', 'sse4.1', 'sse4.2', 'ssse3')
    """
    names = [name for name, _ in _X86_LEVELS]
    if level not in names:
        return ()
    return tuple(feature for _, features in _X86_LEVELS[: names.index(level) + 1] for feature in features)


@functools.cache
def host() -> Isa:
    """This machine, as LLVM and the operating system describe it."""
    cpu, features, triple = host_cpu()
    if platform.machine() in ("x86_64", "AMD64"):
        enabled = frozenset(part[1:] for part in features.split(",") if part.startswith("+"))
        level = x86_level(enabled)
        base = _ISAS.get(level, _V2)
    else:
        base = _ISAS["apple-m1" if sys.platform == "darwin" else "aarch64"]
        level = base.level
    caches = _linux_caches()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return replace(
        base,
        name="host",
        level=level,
        cpu=cpu,
        triple=triple,
        features=features,
        tune=cpu,
        l1_bytes=caches.get(1, base.l1_bytes),
        l2_bytes=caches.get(2, base.l2_bytes),
        l3_bytes=caches.get(3, base.l3_bytes),
        cores=cores,
    )


def runs_here(record: Isa) -> bool:
    """Whether this machine can run code made for `record`; running other code ends the process (SIGILL)."""
    here = host()
    if (record.architecture, record.system) != (here.architecture, here.system):
        return False
    levels = ["x86-64", *(level for level, _ in _X86_LEVELS)]
    if record.cpu in levels and here.level in levels:
        return levels.index(record.cpu) <= levels.index(here.level)
    return record.cpu in ("generic", here.cpu)


def _linux_caches(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> dict[int, int]:
    """Bytes of the data (or unified) cache of each level; empty where the system does not say."""
    sizes: dict[int, int] = {}
    for index in sorted(folder.glob("index*")):
        try:
            kind = (index / "type").read_text().strip()
            level = int((index / "level").read_text())
            text = (index / "size").read_text().strip()
        except (OSError, ValueError):
            continue
        units = {"K": _KIB, "M": _KIB * _KIB}
        if kind != "Instruction" and text[:-1].isdigit() and text[-1] in units:
            sizes[level] = int(text[:-1]) * units[text[-1]]
    return sizes
