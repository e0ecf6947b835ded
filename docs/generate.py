"""Write the documents that are generated from code, or check that they are up to date.

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
    "docs/configuration.md": "phalanx.compiler.config:markdown",
}


def text_of(function: str) -> str:
    """Call `module:function`."""
    module, name = function.split(":")
    text: str = getattr(importlib.import_module(module), name)()
    return text


def main(arguments: list[str]) -> int:
    stale = []
    for path, function in GENERATED.items():
        file, text = ROOT / path, text_of(function)
        if file.exists() and file.read_text() == text:
            continue
        if "--check" in arguments:
            stale.append(path)
        else:
            file.write_text(text)
            print(f"wrote {path}")
    if stale:
        print(f"out of date: {', '.join(stale)}; run `make docs`", file=sys.stderr)
        return 1
    if "--check" in arguments:
        print(f"{len(GENERATED)} generated documents are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
