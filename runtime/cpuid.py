"""What this processor can do, in LLVM's words: asked of the processor itself, else as the operating system tells.

    x86_64     the cpuid instruction, and xgetbv for what the system saves of the registers
    aarch64    getauxval
    elsewhere  /proc/cpuinfo, where there is one

A container without /proc, or one that shows another machine's, makes no difference to the first two.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

#: bit numbers of features in the answers of cpuid: register ECX of leaf 1, EBX of leaf 7, ECX of leaf 0x80000001
LEAF_1 = {"sse3": 0, "pclmul": 1, "ssse3": 9, "fma": 12, "cx16": 13, "sse4.1": 19, "sse4.2": 20, "movbe": 22, "popcnt": 23,
          "aes": 25, "osxsave": 27, "avx": 28, "f16c": 29}
LEAF_7 = {"bmi": 3, "avx2": 5, "bmi2": 8, "avx512f": 16, "avx512dq": 17, "avx512cd": 28, "avx512bw": 30, "avx512vl": 31}
LEAF_EXTENDED = {"sahf": 0, "lzcnt": 5}
EXTENDED = 0x80000001
#: bits of XCR0: the registers that the system saves when it switches programs
YMM_STATE, ZMM_STATE = 0x06, 0xE6
_YMM = {"avx", "avx2", "fma", "f16c"}

# Functions of the System V convention: `cpuid(leaf, subleaf, answer)`, and `xgetbv()` of register 0.
_CPUID_CODE = bytes.fromhex("53 89f8 89f1 4989d0 0fa2 418900 41895804 41894808 4189500c 5b c3")
_XGETBV_CODE = bytes.fromhex("31c9 0f01d0 c3")

_HWCAP = 16
_HWCAP_BITS = {"fp-armv8": 0, "neon": 1, "aes": 3, "sha2": 6, "crc": 7, "lse": 8, "fullfp16": 10, "dotprod": 20, "sve": 22}

# Where Linux's name of a feature is not LLVM's.
_RENAMED = {
    "pni": "sse3", "sse4_1": "sse4.1", "sse4_2": "sse4.2", "bmi1": "bmi", "abm": "lzcnt", "lahf_lm": "sahf",
    "pclmulqdq": "pclmul", "avx512_bf16": "avx512bf16", "avx512_fp16": "avx512fp16", "avx512_vnni": "avx512vnni",
    "avx512_vbmi2": "avx512vbmi2", "avx512_bitalg": "avx512bitalg", "avx512_vpopcntdq": "avx512vpopcntdq",
    "avx_vnni": "avxvnni",
}
_RENAMED_ARM = {"asimd": "neon", "fp": "fp-armv8", "asimdhp": "fullfp16", "atomics": "lse", "asimddp": "dotprod"}
_MACHINES = {"AMD64": "x86_64", "arm64": "aarch64"}

Answer = tuple[int, int, int, int]


def machine() -> str:
    """The architecture of this machine: "x86_64", "aarch64", ..."""
    return _MACHINES.get(platform.machine(), platform.machine())


@functools.cache
def features() -> frozenset[str] | None:
    """Features of this processor that the system lets programs use; None where nothing says.

    >>> "avx2" in features()
    True
    """
    asked = {"x86_64": _x86, "aarch64": _arm}.get(machine(), _nothing)() if sys.platform != "win32" else None
    return asked if asked is not None else described(Path("/proc/cpuinfo"))


def missing(required: Iterable[str]) -> list[str]:
    """Which of the required features this processor lacks; none where that cannot be told."""
    here = features()
    return [] if here is None else sorted(set(required) - here)


def x86_features(cpuid: Callable[[int], Answer], saved: Callable[[], int]) -> frozenset[str]:
    """Features by what cpuid answers; `saved` gives XCR0, and is asked only where that exists."""
    last = cpuid(0)[0]
    first = cpuid(1)[2]
    found = _bits(LEAF_1, first)
    if cpuid(EXTENDED & ~1)[0] >= EXTENDED:
        found |= _bits(LEAF_EXTENDED, cpuid(EXTENDED)[2])
    if last >= 7:
        found |= _bits(LEAF_7, cpuid(7)[1])
    state = saved() if "osxsave" in found else 0
    if state & YMM_STATE != YMM_STATE:
        found -= _YMM
    if state & ZMM_STATE != ZMM_STATE:
        found = {name for name in found if not name.startswith("avx512")}
    return frozenset(found)


def _bits(names: Mapping[str, int], word: int) -> set[str]:
    return {name for name, bit in names.items() if word >> bit & 1}


def _x86() -> frozenset[str] | None:
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:  # systems that never let written memory be run
        return None
    with contextlib.closing(code):
        second = 64
        code[:len(_CPUID_CODE)] = _CPUID_CODE
        code[second:second + len(_XGETBV_CODE)] = _XGETBV_CODE
        view = ctypes.c_char.from_buffer(code)
        start = ctypes.addressof(view)
        ask = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)(start)
        saved = ctypes.CFUNCTYPE(ctypes.c_uint32)(start + second)

        def cpuid(leaf: int) -> Answer:
            answer = (ctypes.c_uint32 * 4)()
            ask(leaf, 0, ctypes.addressof(answer))
            return answer[0], answer[1], answer[2], answer[3]

        found = x86_features(cpuid, saved)
        del view  # or the memory could not be given back
    return found


def _arm() -> frozenset[str] | None:
    try:
        getauxval = ctypes.CDLL(None).getauxval
    except (OSError, AttributeError):  # not Linux
        return None
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    return frozenset(_bits(_HWCAP_BITS, getauxval(_HWCAP)))


def _nothing() -> None:
    return None


def described(description: Path) -> frozenset[str] | None:
    """Features as Linux lists them in a file; None where there is no such list."""
    try:
        text = description.read_text()
    except OSError:
        return None
    for line in text.splitlines():
        key, _, words = line.partition(":")
        if key.strip() == "flags":
            return frozenset(_RENAMED.get(word, word) for word in words.split())
        if key.strip() == "Features":
            return frozenset(_RENAMED_ARM.get(word, word) for word in words.split())
    return None
