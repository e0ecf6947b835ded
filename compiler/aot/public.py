"""`px.export`: functions -> a shared library and its C header, for several processors, without a runtime library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phalanx.compiler.boundary import for_user
from phalanx.dialects.errors import PhalanxError

#: what can be written, and with which ending
KINDS = {"so": ".so", "a": ".a", "o": ".o", "h": ".h", "px": ".px.mlir", "linalg": ".linalg.mlir",
         "clusters": ".clusters.mlir", "llvm": ".ll", "asm": ".s"}


@dataclass(frozen=True)
class Exported:
    """What an export wrote: `files` by kind, the levels in them, the names of the C functions."""

    name: str
    files: Mapping[str, Path]
    levels: tuple[str, ...]
    functions: tuple[str, ...]
    linker: str = ""
    manifest: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        sizes = ", ".join(f"{path} ({path.stat().st_size:,} bytes)" for path in self.files.values())
        return f"{', '.join(self.functions)} for {' + '.join(self.levels)}: {sizes}"


def export(function: Any, path: str | Path, *specs: Any, target: str | Sequence[str] | None = None,
           name: str | None = None, weights: str = "embedded", emit: str | Sequence[str] = ("so", "h"),
           assume: str | Sequence[str] = (), **keyword_specs: Any) -> Exported:
    """Compile ahead of time: write a library at `path` and a C header beside it.

    `specs` say what the arguments look like (specs, spec texts, example arrays); type hints do when there are none.
    `function` may be a list of `(name, function, specs)`, for several functions or several signatures of one.
    `target` names what the code is for, e.g. "x86-64-v3" or "aarch64"; the default on x86-64 is three levels in one
    library, of which the best is chosen when it runs. `emit` are the files to write: so, a, o, h, px, linalg,
    clusters, llvm, asm. With `weights="external"` large captured tensors go to a safetensors file. `assume` are facts
    about named sizes, like those of `px.assume`: `assume=["n % 8 == 0", "n == 2*m"]`.

    A path that ends in `.pxa` makes a package: libraries for several kinds of machine (also aarch64 by default where a
    linker for it is found), weights, recorded calls and what `phalanx retarget` needs, in one file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = px.export(lambda x: px.exp(x), f"{folder}/exps.so", "f32[n]", name="exps", emit="h")
    ...     "int32_t exps(const float *x, float *result, int64_t n);" in made.files["h"].read_text()
    True

    Raises CompileError when a function calls Python or no linker is found, ArtifactError when a file cannot be written.
    """
    from phalanx.compiler.aot.export import export as run  # the compiler, with MLIR
    from phalanx.compiler.aot.package import export_package

    try:
        if Path(path).suffix == ".pxa":
            return export_package(function, Path(path), specs=specs, keyword_specs=keyword_specs, target=target,
                                  name=name, assume=assume)
        return run(function, Path(path), specs=specs, keyword_specs=keyword_specs, target=target, name=name,
                   weights=weights, emit=emit, assume=assume)
    except PhalanxError as error:
        raise for_user(error) from error.__cause__
