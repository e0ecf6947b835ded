"""What importing Phalanx loads, and that the names it leaves for later are there."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import phalanx as px

#: modules that not every program needs
LATER = ["json", "hashlib", "difflib", "optree", "phalanx.compiler.cache", "phalanx.runtime.loader", "phalanx.runtime.jit",
         "phalanx.compiler.aot.public", "phalanx.compiler.array_api", "phalanx.compiler.bench", "phalanx.compiler.eager_cpu",
         "phalanx.compiler.entry.code", "phalanx.runtime.backends.array_api", "phalanx.testing"]


def printed(code: str) -> list[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_what_is_not_imported():
    code = f"import sys, numpy; before = set(sys.modules); import phalanx; print(*(set({LATER}) & set(sys.modules) - before))"
    assert printed(code) == []


def test_listing_imports_nothing():
    assert printed("import sys, phalanx; before = set(sys.modules); dir(phalanx); print(*set(sys.modules) - before)") == []


def test_star_import_gives_every_public_name():
    code = "import builtins, phalanx\nfrom phalanx import *\nbuiltins.print(*(set(phalanx.__all__) - set(globals())))"
    assert printed(code) == []


def test_names_for_later_are_listed_and_found():
    for name in ("grad", "scan", "load", "export", "finfo", "pi", "print", "no_compile", "bench", "__array_api_version__"):
        assert name in dir(px)
        assert getattr(px, name) is getattr(px, name)
    assert {"grad", "sin", "Tensor", "float32", "random"} <= set(px.__all__)
    assert "annotations" not in px.__all__
    assert inspect.isfunction(px.vmap)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        px.nonsense
