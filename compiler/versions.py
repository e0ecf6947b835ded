"""Versions: of installed distributions, and the stamp on IR that is written to files."""

from __future__ import annotations

import re

_STAMP = re.compile(r"// phalanx (\S+), MLIR (\S+)")
_BINDINGS = "xtc-mlir-python-bindings"


def installed(package: str) -> str | None:
    """The version of an installed distribution; None when it is not installed."""
    import importlib.metadata  # for keys on disk and stamps: a first call without them does without

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def version() -> str:
    """The version of Phalanx; a checkout that is only on the path has none."""
    return installed("phalanx") or "(not installed)"


def stamp() -> str:
    """The comment at the head of IR in files: which versions wrote it."""
    return f"// phalanx {version().strip('()').replace(' ', '-')}, MLIR {installed(_BINDINGS)}"


def foreign(text: str) -> str | None:
    """What to say about IR text that other versions wrote; None when it has no stamp or one of these versions.

    >>> foreign("// phalanx 0.0.1, MLIR 17.0\\nmodule {}")
    'the text was written by phalanx 0.0.1, MLIR 17.0'
    """
    found = _STAMP.match(text)
    if found is None or found.group() == stamp():
        return None
    return f"the text was written by {found.group()[3:]}"
