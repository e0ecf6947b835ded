"""Passes written in Python: one file in `compiler/passes/`, one `@pass_`, found by name without a list.

    @pass_("px-cse", "merge equal operations")
    def px_cse(module: ir.Module) -> None: ...

The pass `px-cse` stands in `px_cse.py`, `px-form-clusters` in `form_clusters.py`: the name with underscores,
with or without the `px_`. Keyword-only parameters are options: `px-form-clusters{fuse=false}`.

Other packages add passes by entry points, or `phalanx-opt --load=FILE_OR_MODULE` imports them:

    [project.entry-points."phalanx.passes"]
    my-pass = "my_package.passes"
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from phalanx.compiler import passes
from phalanx.dialects.errors import CompileError
from phalanx.dialects.records import record

Run = TypeVar("Run", bound=Callable[..., Any])
ENTRY_POINTS = "phalanx.passes"
_TYPES: dict[str, type] = {"int": int, "bool": bool, "str": str, "float": float}


@record
class PassInfo:
    """One pass: `run(module, **options)` rewrites the module in place."""

    name: str
    summary: str
    run: Callable[..., Any]
    options: Mapping[str, tuple[type, Any]]  # name -> type and default

    @property
    def file(self) -> Path:
        return Path(inspect.getfile(self.run))


_registered: dict[str, PassInfo] = {}


def pass_(name: str, summary: str) -> Callable[[Run], Run]:
    """Register a module pass under the name `phalanx-opt` and every pipeline know it by."""

    def register(run: Run) -> Run:
        known = _registered.get(name)
        if known is not None and known.run.__module__ != run.__module__:
            raise CompileError(f"pass {name}: defined in {known.run.__module__} and in {run.__module__}")
        _registered[name] = PassInfo(name, summary, run, _options(name, run))
        return run

    return register


def _options(name: str, run: Callable[..., Any]) -> dict[str, tuple[type, Any]]:
    """Keyword-only parameters with a default and a plain type."""
    found: dict[str, tuple[type, Any]] = {}
    for parameter in list(inspect.signature(run).parameters.values())[1:]:
        annotation = parameter.annotation
        kind = _TYPES.get(annotation if isinstance(annotation, str) else annotation.__name__)
        keyword = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        if not keyword or parameter.default is inspect.Parameter.empty or kind is None:
            raise CompileError(f"pass {name}: option {parameter.name!r} must be keyword-only, with a default, "
                               "of type int, bool, str or float")
        found[parameter.name] = (kind, parameter.default)
    return found


def _module_names(name: str) -> list[str]:
    stem = name.replace("-", "_")
    return [stem, stem.removeprefix("px_")]


@functools.cache
def _files() -> frozenset[str]:
    """Stems of the files in `compiler/passes/`."""
    return frozenset(file.stem for folder in passes.__path__ for file in Path(folder).glob("*.py"))


@functools.cache
def _offered() -> dict[str, Any]:
    """Passes of installed packages: entry points of the group `phalanx.passes`, by the name of the pass."""
    import importlib.metadata  # for passes that neither we nor MLIR have: it reads every installed package

    return {entry.name: entry for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)}


def _import_offered(name: str) -> None:
    """Import the module an entry point names; raises CompileError when that fails or registers no such pass."""
    entry = _offered()[name]
    try:
        entry.load()
    except Exception as error:
        raise CompileError(f"pass {name}: its package cannot be imported: {type(error).__name__}: {error}",
                           hint=f"the entry point is {entry.value}") from error
    if name not in _registered:
        raise CompileError(f"pass {name}: importing {entry.value} registers no pass of that name",
                           hint=f'write @pass_("{name}", "what it does")')


def known(name: str) -> PassInfo | None:
    """The Python pass of that name among ours and those imported so far; None when there is none."""
    if name not in _registered:
        stem = next((stem for stem in _module_names(name) if stem in _files()), None)
        if stem is not None:
            importlib.import_module(f"{passes.__name__}.{stem}")
    return _registered.get(name)


def find(name: str) -> PassInfo | None:
    """The Python pass of that name, its package imported if need be; None when there is none."""
    if known(name) is None and not any(stem in _files() for stem in _module_names(name)) and name in _offered():
        _import_offered(name)
    return _registered.get(name)


def all_passes() -> dict[str, PassInfo]:
    """Every Python pass, by name: ours, and those of installed packages."""
    import pkgutil  # as below: only for listings and errors, and slow to import

    for module in pkgutil.iter_modules(passes.__path__):
        importlib.import_module(f"{passes.__name__}.{module.name}")
    for name in _offered():
        find(name)
    return dict(sorted(_registered.items()))


def parse_options(info: PassInfo, values: Mapping[str, str]) -> dict[str, Any]:
    """Text options as typed keyword arguments; raises CompileError with the nearest names."""
    parsed: dict[str, Any] = {}
    for key, text in values.items():
        option = key.replace("-", "_")
        if option not in info.options:
            raise CompileError(f"pass {info.name}: unknown option {key!r}", hint=nearest(key, info.options))
        kind, _ = info.options[option]
        parsed[option] = _value(info, key, kind, text)
    return parsed


def _value(info: PassInfo, key: str, kind: type, text: str) -> Any:
    if kind is bool:
        if text not in ("", "true", "false", "1", "0"):
            raise CompileError(f"pass {info.name}: option {key} is true or false, got {text!r}")
        return text in ("", "true", "1")
    try:
        return kind(text)
    except ValueError:
        raise CompileError(f"pass {info.name}: option {key} is of type {kind.__name__}, got {text!r}") from None


def nearest(name: str, known: Any) -> str | None:
    """A hint that names the closest known names."""
    names = sorted(known)
    import difflib

    near = difflib.get_close_matches(name, names, 3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there is {', '.join(names)}" if 0 < len(names) <= 12 else None


@functools.cache
def upstream_names() -> frozenset[str]:
    """Names of MLIR's C++ passes, for hints; empty without mlir-opt (it is in the test extra)."""
    tool = find_tool("mlir-opt")
    if tool is None:
        return frozenset()
    import subprocess

    text = subprocess.run([tool, "--help"], capture_output=True, text=True, check=False).stdout
    entries = (line.split()[0] for line in text.splitlines() if line.startswith("      --") and " - " in line)
    return frozenset(entry.removeprefix("--").partition("=")[0] for entry in entries)


def find_tool(name: str) -> str | None:
    """A command of the LLVM wheels (`mlir-opt`, `FileCheck`), beside their packages, else on the PATH."""
    import sysconfig

    for package in ("mlir", "llvm"):
        for base in {sysconfig.get_path("platlib"), *sys.path}:
            candidate = Path(base or ".") / package / "bin" / name
            if candidate.is_file():
                return str(candidate)
    import shutil

    return shutil.which(name)
