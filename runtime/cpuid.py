"""What this processor can do, in LLVM's words, as the operating system reports it."""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterable
from pathlib import Path

# Where Linux's name of an x86 feature is not LLVM's.
_RENAMED = {
    "pni": "sse3", "sse4_1": "sse4.1", "sse4_2": "sse4.2", "bmi1": "bmi", "abm": "lzcnt", "lahf_lm": "sahf",
    "pclmulqdq": "pclmul", "avx512_bf16": "avx512bf16", "avx512_fp16": "avx512fp16", "avx512_vnni": "avx512vnni",
    "avx512_vbmi2": "avx512vbmi2", "avx512_bitalg": "avx512bitalg", "avx512_vpopcntdq": "avx512vpopcntdq",
    "avx_vnni": "avxvnni",
}
_RENAMED_ARM = {"asimd": "neon", "fp": "fp-armv8", "asimdhp": "fullfp16", "atomics": "lse", "asimddp": "dotprod"}
_MACHINES = {"AMD64": "x86_64", "arm64": "aarch64"}


def machine() -> str:
    """The architecture of this machine: "x86_64", "aarch64", ..."""
    return _MACHINES.get(platform.machine(), platform.machine())


@functools.cache
def features(description: Path = Path("/proc/cpuinfo")) -> frozenset[str] | None:
    """Features of this processor that the system lets programs use; None where it does not say.

    >>> "avx2" in features()
    True
    """
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


def missing(required: Iterable[str]) -> list[str]:
    """Which of the required features this processor lacks; none where that cannot be told."""
    here = features()
    return [] if here is None else sorted(set(required) - here)
