"""Write the files that are generated from code, or check that they are up to date.

    python docs/generate.py            write them
    python docs/generate.py --check    exit with 1 and say which ones differ
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: file -> function that returns its text
GENERATED = {
    "dialects/px.irdl.mlir": "phalanx.dialects.irdl_emit:file_text",
    "docs/configuration.md": "phalanx.compiler.config:markdown",
    "docs/ops.md": "operations:markdown",
    "phalanx/__init__.pyi": "stubs:text",
}


def text_of(function: str) -> str:
    """Call `module:function`; the modules without a package stand beside this file."""
    module, name = function.split(":")
    text: str = getattr(importlib.import_module(module), name)()
    return text


def main(arguments: list[str]) -> int:
    sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
    stale = []
    for path, function in GENERATED.items():
        file, text = ROOT / path, text_of(function)
        if file.exists() and file.read_text(encoding="utf-8") == text:
            continue
        if "--check" in arguments:
            stale.append(path)
        else:
            file.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    if stale:
        print(f"out of date: {', '.join(stale)}; run `make docs`", file=sys.stderr)
        return 1
    if "--check" in arguments:
        print(f"{len(GENERATED)} generated files are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
