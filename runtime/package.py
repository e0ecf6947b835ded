"""Reads packages: a `.pxa` is a zip with a library per kind of machine and what belongs to it.

    manifest.json         what is inside, with a digest of every member
    lib/<machine>.so      the libraries
    <name>.h              their C header
    weights.safetensors   large captured tensors, shared by the libraries
    source/<function>.mlirbc, source/constants.safetensors    for making libraries for other machines
    golden/<function>/<number>.bin    inputs and the outputs they gave

Members are stored, never compressed, and never written to disk: so a small file cannot unfold into a large one, and
names lead nowhere.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from phalanx.dialects.errors import ArtifactError
from phalanx.runtime.manifest import LARGEST_MANIFEST, FunctionEntry, Reader, check_version, parse_json
from phalanx.runtime.signature import Argument

FORMAT = "phalanx-package"
VERSION = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class PackagedLibrary:
    """A library of a package and the machines it is for."""

    file: str
    architecture: str
    system: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Golden:
    """Shapes and members of one recorded call."""

    function: str
    inputs: tuple[tuple[tuple[int, ...], str], ...]
    outputs: tuple[tuple[tuple[int, ...], str], ...]


class Package:
    """An open package.

    >>> with open("digits.pxa", "rb") as file, Package(Path("digits.pxa"), file) as opened:
    ...     [library.architecture for library in opened.libraries]
    ['aarch64', 'x86_64']
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(file)
            self._members = self._checked_members()
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise ArtifactError(f"{path}: not a package, or cut short: {error}") from None
        self._digests: Mapping[str, str] = {}
        manifest = parse_json(self.member(MANIFEST), str(path))
        check_version(manifest, FORMAT, VERSION)
        self.manifest = manifest
        self.name = manifest["name"].text()
        self._digests = {name: digest.text() for name, digest in manifest["members"].items()}
        self.libraries = tuple(_library(r) for r in manifest["libraries"])
        self.golden = tuple(_golden(r) for r in manifest["golden"])

    def _checked_members(self) -> dict[str, zipfile.ZipInfo]:
        found: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.infolist():
            parts = info.filename.replace("\\", "/").split("/")
            if info.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
                raise ArtifactError(f"{self.path}: a member leads outside the package, {info.filename!r}")
            if info.filename in found:
                raise ArtifactError(f"{self.path}: has {info.filename!r} twice")
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
                raise ArtifactError(f"{self.path}: {info.filename!r} is compressed or encrypted, which packages never are")
            found[info.filename] = info
        if MANIFEST not in found or found[MANIFEST].file_size > LARGEST_MANIFEST:
            raise ArtifactError(f"{self.path}: a zip, but not a package: it has no usable {MANIFEST}")
        return found

    @property
    def members(self) -> list[tuple[str, int]]:
        """Name and size of everything inside."""
        return [(info.filename, info.file_size) for info in self._members.values()]

    def has(self, name: str) -> bool:
        """Whether there is such a member."""
        return name in self._members

    def member(self, name: str) -> bytes:
        """Contents of a member, checked against the digest in the manifest."""
        if name not in self._members:
            raise ArtifactError(f"{self.path}: {name} is missing from the package")
        try:
            data = self._zip.read(self._members[name])
        except (zipfile.BadZipFile, EOFError, ValueError) as error:
            raise ArtifactError(f"{self.path}: {name} is damaged: {error}") from None
        if name != MANIFEST and hashlib.sha256(data).hexdigest() != self._digests.get(name):
            raise ArtifactError(f"{self.path}: {name} is not what the manifest says, its digest differs")
        return data

    def library_for(self, architecture: str, system: str) -> tuple[str, bytes]:
        """Name (for messages) and bytes of the library for a kind of machine."""
        for library in self.libraries:
            if (library.architecture, library.system) == (architecture, system):
                return f"{self.path}, {library.file}", self.member(library.file)
        have = ", ".join(f"{one.architecture} {one.system}" for one in self.libraries) or "no machine"
        raise ArtifactError(f"{self.path}: holds libraries for {have}, none for {architecture} {system}",
                            hint=f"phalanx retarget {self.path.name} --target ... adds one, on a machine with Phalanx")

    def calls(self, functions: Mapping[str, FunctionEntry]) -> Iterator[tuple[FunctionEntry, list[Array], list[Array]]]:
        """Function, inputs and outputs of every recorded call."""
        for golden in self.golden:
            entry = functions.get(golden.function)
            if entry is None:
                raise ArtifactError(f"{self.path}: recorded calls of {golden.function!r}, which is not there")
            yield entry, self._recorded(golden.inputs, entry.signature.inputs), self._recorded(
                golden.outputs, entry.signature.outputs)

    def _recorded(self, values: tuple[tuple[tuple[int, ...], str], ...], arguments: tuple[Argument, ...]) -> list[Array]:
        if len(values) != len(arguments):
            raise ArtifactError(f"{self.path}: a recorded call has {len(values)} arrays instead of {len(arguments)}")
        found = []
        for (shape, file), argument in zip(values, arguments, strict=True):
            try:
                found.append(np.frombuffer(self.member(file), argument.dtype.numpy).reshape(shape))
            except ValueError as error:
                raise ArtifactError(f"{self.path}: {file} does not hold {argument}: {error}") from None
        return found

    def __enter__(self) -> Package:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()


def _library(reader: Reader) -> PackagedLibrary:
    return PackagedLibrary(reader["file"].text(), reader["architecture"].text(), reader["system"].text(),
                           tuple(level.text() for level in reader["levels"]))


def _golden(reader: Reader) -> Golden:
    def arrays(key: str) -> tuple[tuple[tuple[int, ...], str], ...]:
        return tuple((tuple(s.integer() for s in a["shape"]), a["file"].text()) for a in reader[key])

    return Golden(reader["function"].text(), arrays("inputs"), arrays("outputs"))
