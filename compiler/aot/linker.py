"""From an object to a shared library: whichever linker is there, and stand-ins for libc and libm.

The library is linked against stubs that hold only the names it needs. So its references carry no symbol version
(it runs with older and other C libraries), and no system files of the target are needed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phalanx.compiler.targets.isa import Isa, host
from phalanx.compiler.targets.llvm_c import TargetMachine, parse
from phalanx.dialects.errors import ArtifactError, CompileError

#: all that exported code may take from elsewhere
LIBC = frozenset({"bzero", "free", "malloc", "memcpy", "memmove", "memset"})  # bzero: what memset becomes on macOS
LIBM = frozenset(name + suffix for suffix in ("", "f") for name in (
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "cos", "cosh", "erf", "erfc", "exp", "exp2",
    "expm1", "floor", "fma", "fmod", "ldexp", "log", "log10", "log1p", "log2", "nearbyint", "pow", "rint", "round",
    "roundeven", "sin", "sinh", "sqrt", "tan", "tanh", "trunc"))

_FLAGS = ("-z", "defs", "-z", "noexecstack", "--as-needed", "--build-id=sha1")
_HINT = ("three ways out: install lld or binutils; pip install ziglang; or export an object with emit=(\"o\", \"h\") and "
         "link it yourself")


@dataclass(frozen=True)
class Linker:
    """A linker found on this machine; `compiler` when options go through a C compiler driver."""

    name: str
    command: tuple[str, ...]
    compiler: bool = False

    def link(self, output: Path, soname: str, files: Sequence[Path]) -> None:
        """Make a shared library; raises CompileError with the linker's message."""
        options = ["-soname", soname, *_FLAGS]
        if self.compiler:
            options = ["-nostdlib", "-Wl," + ",".join(options)]
        command = [*self.command, "-shared", *options, "-o", str(output), *map(str, files)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CompileError(f"export: {self.name} could not be run: {error}", hint=_HINT) from error
        if done.returncode or not output.exists():
            raise CompileError(f"export: {self.name} failed with code {done.returncode}",
                               note=(done.stderr or done.stdout).strip()[-2000:])


def find_linker(record: Isa) -> Linker:
    """The first of ld.lld, ld, cc and the `ziglang` package that can link for `record`.

    Raises CompileError when there is none, or for macOS, whose libraries only its own linker makes.
    """
    if record.system != "linux":
        raise CompileError(f"export: no linker here makes {record.system} libraries",
                           hint='export an object with emit=("o", "h") and link it on that machine')
    here = host()
    native = (record.architecture, record.system) == (here.architecture, here.system)
    lld = shutil.which("ld.lld")
    if lld:
        return Linker("ld.lld", (lld,))
    if native:
        for name, compiler in (("ld", False), ("cc", True)):
            path = shutil.which(name)
            if path and sys.platform == "linux":
                return Linker(name, (path,), compiler)
    if importlib.util.find_spec("ziglang") is not None:
        return Linker("ziglang", (sys.executable, "-m", "ziglang", "ld.lld"))
    target = "" if native else f" for {record.architecture}"
    raise CompileError(f"export: no linker{target} was found (looked for ld.lld, {'ld, cc, ' if native else ''}"
                       "the ziglang package)", hint=_HINT)


def check_undefined(names: Sequence[str]) -> None:
    """Raise CompileError when code needs anything that is not in the lists above."""
    unknown = sorted(set(names) - LIBC - LIBM)
    if unknown:
        raise CompileError(f"export: the code needs {', '.join(unknown)}, which is neither libc nor libm")


def link_library(data: bytes, undefined: Sequence[str], record: Isa, soname: str, linker: Linker | None = None) -> bytes:
    """The shared library of one object."""
    check_undefined(undefined)
    tool = linker or find_linker(record)
    try:
        with tempfile.TemporaryDirectory(prefix="phalanx-link-") as folder:
            place = Path(folder)
            files = [place / "code.o"]
            files[0].write_bytes(data)
            for library, known in (("libc.so.6", LIBC), ("libm.so.6", LIBM)):
                needed = sorted(set(undefined) & known)
                if needed:
                    files.append(_stub(place, library, needed, record, tool))
            output = place / "out.so"
            tool.link(output, soname, files)
            return output.read_bytes()
    except OSError as error:
        raise ArtifactError(f"export: cannot link in {tempfile.gettempdir()}: {error}") from error


def _stub(place: Path, library: str, names: Sequence[str], record: Isa, tool: Linker) -> Path:
    """A library of the name the loader looks for, with an empty function for each name."""
    text = "".join(f"define void @{name}() {{\n  ret void\n}}\n" for name in names)
    folder = place / library.partition(".")[0]
    folder.mkdir()
    with TargetMachine(record.triple, record.cpu, record.features) as machine, parse(text, library) as module:
        module.set_target(machine)
        (folder / "stub.o").write_bytes(module.emit_object(machine))
    tool.link(folder / library, library, [folder / "stub.o"])
    return folder / library


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it; raises ArtifactError when it cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ArtifactError(f"export: cannot write {path}: {error.strerror or error}") from error
