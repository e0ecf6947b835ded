"""A lit configuration to import: a `lit.cfg.py` of two lines.

    from phalanx.testing.lit import configure
    configure(config, __file__)

Tests then use `%phalanx`, `%phalanx_opt`, `%python`, `FileCheck` and `not`.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import phalanx
from phalanx.compiler.pipeline.registry import find_tool
from phalanx.compiler.testing.filecheck import find_filecheck


def configure(config: Any, file: str, *, name: str = "", suffixes: Sequence[str] = (".mlir", ".py", ".test"),
              path: Sequence[str | Path] = ()) -> None:
    """Fill in lit's `config` for the tests beside `file`; `path` holds folders the tests import from.

    Tests do not see the user's PHALANX_* variables, and keep their compiled code in a folder of their own.
    """
    import lit.formats  # lit is there where this runs, not where phalanx is only used

    folder = Path(file).resolve().parent
    config.name = name or folder.name
    config.test_format = lit.formats.ShTest(execute_external=False)
    config.suffixes = list(suffixes)
    config.excludes = [*getattr(config, "excludes", []), "lit.cfg.py", "conftest.py", "Output", "Inputs"]
    config.test_source_root = str(folder)
    config.test_exec_root = os.environ.get("PHALANX_LIT_OUTPUT") or tempfile.mkdtemp(prefix="phalanx-lit-")
    for variable in [v for v in os.environ if v.startswith("PHALANX_")]:
        config.environment.pop(variable, None)
    importable = [Path(phalanx.__file__).resolve().parent.parent, *map(Path, path)]
    old = os.environ.get("PYTHONPATH")
    config.environment["PYTHONPATH"] = os.pathsep.join([*map(str, importable), *([old] if old else [])])
    config.environment["PHALANX_CACHE_DIR"] = str(Path(config.test_exec_root) / "cache")
    config.substitutions += substitutions()


def substitutions() -> list[tuple[str, str]]:
    """The commands tests use, as regular expressions and what stands for them."""
    python = shlex.quote(sys.executable)
    found = [
        ("%python", python),
        (r"%phalanx_opt\b", f"{python} -m phalanx.compiler.opt"),
        (r"\bphalanx-opt\b", f"{python} -m phalanx.compiler.opt"),
        (r"%phalanx\b", f"{python} -m phalanx.compiler.cli"),
        (r"(?<![\w/.-])FileCheck(?![\w/.-])", shlex.join(find_filecheck())),
    ]
    inverter = find_tool("not")
    return found + ([(r"(?<![\w/.-])not(?![\w/.-])", inverter)] if inverter else [])
