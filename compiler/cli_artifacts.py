"""`phalanx inspect | run | verify | retarget`: exported libraries and packages from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from phalanx.dialects.dims import Dim
from phalanx.dialects.errors import ArgumentError, ArtifactError
from phalanx.runtime import library_file, loader, manifest
from phalanx.runtime.loader import Function
from phalanx.runtime.manifest import FunctionEntry, Manifest
from phalanx.runtime.package import Package

Artifact = Annotated[Path, typer.Argument(metavar="FILE", help="A .so or .pxa that Phalanx exported.")]
Sizes = Annotated[list[str] | None, typer.Option("--size", help="A named size, n=64.")]

# What evaluator and compiled code may differ by, relative to the largest result; sums are taken in another order.
_TOLERANCES = {"float16": 2e-2, "bfloat16": 5e-2, "float32": 2e-4, "float64": 1e-9}


def is_artifact(word: str) -> bool:
    """Whether a word of the command line names an exported file rather than a Python function."""
    return Path(word).suffix in (".so", ".pxa")


def inspect(file: Artifact) -> None:
    """What is inside: functions with their types and sizes, levels, machine, weights; nothing is run.

    Example: phalanx inspect predict.so
    """
    if _is_package(file):
        with open(file, "rb") as opened, Package(file, opened) as package:
            print(f"{file}: package {package.name}, {file.stat().st_size:,} bytes")
            for name, size in package.members:
                print(f"  {size:12,}  {name}")
            for library in package.libraries:
                where = f"{file}, {library.file}"
                found = manifest.read(library_file.read(package.member(library.file), where).manifest, where)
                print(f"\n{library.file}")
                _print(found)
            print(f"\n{len(package.golden)} recorded calls")
        return
    found = loader.describe(file)
    print(f"{file}: {file.stat().st_size:,} bytes")
    _print(found)


def _is_package(file: Path) -> bool:
    try:
        with open(file, "rb") as opened:
            return opened.read(4) == loader.ZIP_START
    except OSError as error:
        raise ArtifactError(f"{file}: {error.strerror or error}") from None


def _print(found: Manifest) -> None:
    print(f"  machine    {found.architecture} {found.system}")
    print(f"  levels     {', '.join(level.name for level in found.levels)}")
    print(f"  made by    {', '.join(f'{k} {v}' for k, v in found.producer.items())}")
    weights = found.weights
    print(f"  weights    {f'{weights.file}, {weights.nbytes:,} bytes' if weights else 'inside'}")
    for entry in found.functions:
        print(f"  {entry.name}{entry.python_signature()}")
        if entry.doc:
            print(f"      {entry.doc.splitlines()[0]}")
        if entry.constraints:
            print(f"      needs {' and '.join(entry.constraints)}")
        for assumption in entry.assumptions:
            print(f"      assumes {assumption.fact}" + (f": {assumption.message}" if assumption.message else ""))


def run(
    file: Artifact,
    function: Annotated[str, typer.Option(help="Which function, when there are several.")] = "",
    inputs: Annotated[str, typer.Option(help="Arrays by name from an .npz file; random numbers without.")] = "",
    size: Sizes = None,
    output: Annotated[str, typer.Option("-o", "--output", help="An .npz file for the results.")] = "",
) -> None:
    """Call a function with arrays from a file, or with random ones, and show the results.

    Example: phalanx run predict.so --inputs x.npz -o results.npz
    """
    chosen = _function(file, function)
    given = _from_file(chosen, inputs) if inputs else random_inputs(chosen.entry, sizes_of(size))
    results = chosen.call_flat(given)
    for declared, array in zip(chosen.signature.outputs, results, strict=True):
        print(f"{declared.name}: {declared.dtype.short}[{','.join(map(str, array.shape))}]")
        print(np.array2string(array, threshold=64, edgeitems=3))
    if output:
        named: dict[str, Any] = {o.name: a for o, a in zip(chosen.signature.outputs, results, strict=True)}
        try:
            np.savez(output, **named)
        except OSError as error:
            raise ArtifactError(f"{output}: {error.strerror or error}") from None


def verify(
    file: Artifact,
    rtol: Annotated[float, typer.Option(help="Allowed difference relative to the largest value; 0: by dtype.")] = 0.0,
) -> None:
    """Load the file and repeat the calls recorded in a package; a library is called once with random arrays.

    Example: phalanx verify predict.pxa
    """
    library = loader.open_library(file)
    entries = {f.entry.name: f.entry for f in library}
    if not _is_package(file):
        for function in library:
            results = function.call_flat(random_inputs(function.entry, {}))
            print(f"{function.__name__}: runs, {len(results)} results; a .so holds no recorded calls to compare with")
        return
    count = 0
    with open(file, "rb") as opened, Package(file, opened) as package:
        for entry, given, expected in package.calls(entries):
            results = library[entry.name].call_flat(given)
            for declared, got, wanted in zip(entry.signature.outputs, results, expected, strict=True):
                _compare(f"{file}: {entry.name}, {declared.name}", got, wanted,
                         rtol or _TOLERANCES.get(declared.dtype.name, 0.0))
            count += 1
    print(f"{file}: {count} recorded calls give the same results")


def _compare(what: str, got: Any, wanted: Any, tolerance: float) -> None:
    got, wanted = (a.astype(np.float64) if a.dtype.kind in "fV" else a for a in (got, wanted))
    if got.shape != wanted.shape:
        raise ArtifactError(f"{what} has shape {got.shape}, recorded was {wanted.shape}")
    if tolerance == 0.0 or got.size == 0:
        same = bool(np.array_equal(got, wanted))
        difference = ""
    else:
        scale = float(np.max(np.abs(wanted), initial=0.0, where=np.isfinite(wanted)))
        same = bool(np.allclose(got, wanted, rtol=tolerance, atol=tolerance * scale, equal_nan=True))
        with np.errstate(invalid="ignore"):
            difference = f", the largest difference is {np.nanmax(np.abs(got - wanted)):.3g}"
    if not same:
        raise ArtifactError(f"{what} differs from what was recorded{difference}")


def retarget(
    file: Annotated[Path, typer.Argument(metavar="FILE.pxa")],
    target: Annotated[str, typer.Option(help="What to add, e.g. aarch64 or x86-64-v3,x86-64-v4.")],
    output: Annotated[str, typer.Option("-o", "--output", help="Write there instead of over FILE.")] = "",
) -> None:
    """Add libraries for other machines to a package; the source of its functions is not needed.

    Example: phalanx retarget predict.pxa --target aarch64
    """
    from phalanx.compiler.aot.package import retarget as add  # the compiler, with MLIR

    for line in add(file, target, Path(output) if output else None):
        print(line)


def sizes_of(words: list[str] | None) -> dict[str, int]:
    """`n=64` -> {"n": 64}."""
    found = {}
    for word in words or []:
        name, equals, number = word.partition("=")
        if not equals or not number.isdecimal():
            raise ArgumentError(f"--size: expected NAME=NUMBER, got {word!r}", hint="--size n=64")
        found[name.strip()] = int(number)
    return found


def random_inputs(entry: FunctionEntry, sizes: dict[str, int]) -> list[Any]:
    """Arrays that fit the arguments; named sizes that are not given are 8."""
    values = {name: sizes.get(name, 8) for name in entry.signature.dims}
    unknown = sizes.keys() - values.keys()
    if unknown:
        raise ArgumentError(f"--size: {entry.name} has no size {sorted(unknown)[0]!r}",
                            hint=f"its named sizes are {', '.join(values) or 'none'}")
    random = np.random.default_rng(0)
    found = []
    for argument in entry.signature.inputs:
        shape = tuple(s.evaluate(values) if isinstance(s, Dim) else s for s in argument.shape)
        kind = argument.dtype.kind
        made = random.standard_normal(shape) if kind == "f" else random.integers(0 if kind == "b" else 1,
                                                                                 2 if kind == "b" else 5, shape)
        found.append(np.asarray(made).astype(argument.dtype.numpy))
    return found


def _from_file(function: Function, file: str) -> list[Any]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            known = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError) as error:
        raise ArgumentError(f"{file}: not an .npz file with arrays: {error}") from None
    missing = [a.name for a in function.signature.inputs if a.name not in known]
    if missing:
        raise ArgumentError(f"{file}: has no array {missing[0]!r}, it has {', '.join(known) or 'none'}")
    return [known[a.name] for a in function.signature.inputs]


def _function(file: Path, name: str) -> Function:
    library = loader.open_library(file)
    if name:
        return library[name]
    if len(library) > 1:
        raise ArgumentError(f"{file}: has several functions", hint=f"--function {' | '.join(library.functions)}")
    return next(iter(library))


def bench_candidates(files: list[str], size: list[str] | None) -> tuple[dict[str, Any], list[Any]]:
    """Functions of exported files by the name to show, and arrays that fit the first one; for `phalanx bench`."""
    functions = {f"{Path(file).name}:{function.__name__}": function
                 for file in files for function in loader.open_library(Path(file))}
    first = next(iter(functions.values()))
    arguments = random_inputs(first.entry, sizes_of(size))
    return {name: lambda *given, f=function: f.call_flat(given) for name, function in functions.items()}, arguments
