"""From functions to files: what `px.export` does once MLIR is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phalanx.compiler.aot import manifest as manifests
from phalanx.compiler.aot.archive import archive
from phalanx.compiler.aot.data import SECTION, declaration, define_bytes
from phalanx.compiler.aot.dispatcher import X86_LEVELS, x86_level_text
from phalanx.compiler.aot.entries import Entry, assuming, make_entry
from phalanx.compiler.aot.header import header
from phalanx.compiler.aot.levels import level_text, requirement, targets_of, to_clusters
from phalanx.compiler.aot.linker import check_undefined, find_linker, link_library, write_bytes
from phalanx.compiler.aot.names import function_name
from phalanx.compiler.aot.public import KINDS, Exported
from phalanx.compiler.aot.size_code import DECLARATIONS
from phalanx.compiler.aot.weights import External, externalise
from phalanx.compiler.aot.wrappers import entry_text, exported, level_symbol, library_text
from phalanx.compiler.context import context
from phalanx.compiler.targets.half import link_helpers
from phalanx.compiler.targets.isa import Isa
from phalanx.compiler.targets.llvm_c import LlvmModule, TargetMachine, parse
from phalanx.dialects import dims
from phalanx.dialects.aval import items
from phalanx.dialects.errors import ArgumentError, PhalanxError
from phalanx.runtime.object_file import read_symbols

_STAGES = ("px", "linalg", "clusters")


def export(function: Any, path: Path, *, specs: Sequence[Any], keyword_specs: Mapping[str, Any],
           target: str | Sequence[str] | None, name: str | None, weights: str, emit: Sequence[str],
           assume: str | Sequence[str] = ()) -> Exported:
    """`px.export` (see there), with MLIR loaded."""
    kinds = check_kinds(emit)
    targets = targets_of(target)
    if weights not in ("embedded", "external"):
        raise ArgumentError(f"export: weights are 'embedded' or 'external', got {weights!r}")
    entries = make_entries(function, name, specs, keyword_specs, assume)
    return _write(_Library(_stem(path), entries, targets, weights == "external"), path.parent, kinds)


def write_entries(entries: Sequence[Entry], path: Path, *, targets: Sequence[str], external: bool) -> Exported:
    """The library and header of functions that were traced before, e.g. read from a package."""
    return _write(_Library(_stem(path), list(entries), list(targets), external), path.parent, ("so", "h"))


def check_kinds(emit: Sequence[str]) -> list[str]:
    """The kinds of files to write; raises ArgumentError for one that does not exist."""
    kinds = [part.strip() for text in ([emit] if isinstance(emit, str) else emit) for part in text.split(",")]
    wrong = [kind for kind in kinds if kind not in KINDS]
    if wrong or not kinds:
        raise ArgumentError(f"export: cannot emit {wrong[0] if wrong else 'nothing'!r}", hint=f"one of {', '.join(KINDS)}")
    return list(dict.fromkeys(kinds))


def _stem(path: Path) -> str:
    name = path.name
    for ending in sorted(KINDS.values(), key=len, reverse=True):
        if name.endswith(ending) and name != ending:
            return name.removesuffix(ending)
    return name


def make_entries(function: Any, name: str | None, specs: Sequence[Any], keyword_specs: Mapping[str, Any],
                 assume: str | Sequence[str] = ()) -> list[Entry]:
    """What `px.export` was asked for, traced: one entry per function and signature, their names checked."""
    texts = [assume] if isinstance(assume, str) else items(assume)
    if not all(isinstance(text, str) for text in texts):
        raise ArgumentError(f"export: assume takes texts such as 'n % 8 == 0', got {assume!r}")
    facts = [dims.parse_fact(text) for text in texts]
    return assuming(_entries(function, name, specs, keyword_specs), facts)


def _entries(function: Any, name: str | None, specs: Sequence[Any], keyword_specs: Mapping[str, Any]) -> list[Entry]:
    if not isinstance(function, (list, tuple)):
        made = make_entry(function, name, specs, keyword_specs)
        function_name(made.name)
        return [made]
    if specs or keyword_specs or name is not None:
        raise ArgumentError("export: with a list, names and specs stand in it: [(name, function, specs), ...]")
    entries = [_listed(item) for item in function]
    seen: dict[str, str] = {}
    for entry in entries:
        for symbol in exported(entry):
            if symbol in seen:
                raise ArgumentError(f"export: two functions of one name: {symbol!r} belongs to {seen[symbol]!r} "
                                    f"and to {entry.name!r}", hint="give one of them another name")
            seen[symbol] = entry.name
    if not entries:
        raise ArgumentError("export: the list of functions is empty")
    return entries


def _listed(item: Any) -> Entry:
    if not isinstance(item, (list, tuple)) or len(item) not in (2, 3) or not isinstance(item[0], str):
        raise ArgumentError("export: an item of the list is (name, function, specs)",
                            hint='[("small", f, ["f32[8]"]), ("large", f, {"x": "f32[n]"})]')
    name, function, specs = item if len(item) == 3 else (*item, ())
    function_name(name)
    if isinstance(specs, Mapping):
        return make_entry(function, name, (), specs)
    return make_entry(function, name, [specs] if isinstance(specs, str) else list(specs))


@dataclass
class _Library:
    """A library while it is made."""

    name: str
    entries: list[Entry]
    targets: list[str]
    external: bool

    def __post_init__(self) -> None:
        self.records: list[Isa] = [requirement(target)[1] for target in self.targets]
        self.weights: External | None = externalise(self.entries) if self.external else None
        if self.weights is not None:
            self.entries = self.weights.entries

    @property
    def dispatched(self) -> bool:
        """Whether the library asks the processor what it can do."""
        return all(record.level in X86_LEVELS for record in self.records)

    @property
    def baseline(self) -> tuple[str, str]:
        """Triple and processor of everything but the levels' own code."""
        first = self.records[0]
        return first.triple, "x86-64" if first.architecture == "x86_64" else first.cpu

    def manifest(self) -> dict[str, Any]:
        file = None
        if self.weights is not None:
            file = manifests.WeightsFile(f"{self.name}.safetensors", len(self.weights.data), self.weights.sha256)
        return manifests.manifest(self.name, self.entries, self.records, file)

    def text(self, manifest: bytes) -> str:
        """What calls the levels' code, as LLVM IR text."""
        first = self.records[0]
        identity = self.weights.identity if self.weights is not None else b""
        parts = [DECLARATIONS, library_text(manifest, macos=first.system == "macos")]
        if self.dispatched:
            parts.append(x86_level_text())
        parts += [declaration(symbol, len(data)) for symbol, (data, _) in self.data().items()]
        for entry in self.entries:
            levels = {record.level: level_symbol(entry, record.level) for record in self.records}
            parts.append(entry_text(entry, levels, dispatched=self.dispatched, weights_id=identity))
        return "\n".join(parts)

    def data(self) -> dict[str, tuple[bytes, str]]:
        """Bytes and place of every embedded tensor by symbol."""
        return {c.symbol: (c.data, c.where) for entry in self.entries for c in entry.captured if c.where != "file"}

    def compile(self, machine: TargetMachine, manifest: bytes, clusters: Sequence[Any]) -> LlvmModule:
        """Everything in one LLVM module; each level's functions say which processor they are for."""
        whole = parse(self.text(manifest), self.name)
        try:
            whole.set_target(machine)
            whole.verify()
            whole.run_passes("default<O2>", machine)
            for entry, module in zip(self.entries, clusters, strict=True):
                for target in self.targets:
                    whole.link(level_text(entry, module, target), f"{entry.name} for {target}")
            link_helpers(whole)
            for symbol, (data, where) in self.data().items():
                large = where == "section" and self.records[0].system == "linux"
                define_bytes(whole, symbol, data, section=SECTION if large else "")
            whole.keep_only([symbol for entry in self.entries for symbol in exported(entry)])
            whole.verify()
        except PhalanxError:
            whole.close()
            raise
        return whole


def _write(library: _Library, folder: Path, kinds: Sequence[str]) -> Exported:
    """Compile as far as the kinds of files need, then write them all."""
    linker = find_linker(library.records[0]) if "so" in kinds else None
    written = {kind: folder / f"{library.name}{KINDS[kind]}" for kind in kinds}
    contents: dict[str, bytes] = {}
    manifest = library.manifest()
    stages = [to_clusters(entry) for entry in library.entries] if kinds != ["h"] else []
    for kind in (k for k in kinds if k in _STAGES):
        with context():
            contents[kind] = "\n// -----\n\n".join(str(found[kind]) for found in stages).encode()
    if {"so", "a", "o", "llvm", "asm"} & set(kinds):
        triple, cpu = library.baseline
        clusters = [found["clusters"] for found in stages]
        with TargetMachine(triple, cpu) as machine, library.compile(machine, manifests.encode(manifest), clusters) as module:
            if "llvm" in kinds:
                contents["llvm"] = str(module).encode()
            if "asm" in kinds:
                contents["asm"] = module.emit_assembly(machine).encode()
            data = module.emit_object(machine)
        table = read_symbols(data)
        check_undefined(table.undefined)
        if "o" in kinds:
            contents["o"] = data
        if "a" in kinds:
            contents["a"] = archive(library.name, data, table.defined)
        if linker is not None:
            contents["so"] = link_library(data, table.undefined, library.records[0], f"{library.name}.so", linker)
    levels = tuple(record.level for record in library.records)
    if "h" in kinds:
        contents["h"] = header(library.name, library.entries, levels=levels).encode()
    if library.weights is not None:
        written["weights"] = folder / f"{library.name}.safetensors"
        contents["weights"] = library.weights.data
    for kind, path in written.items():
        write_bytes(path, contents[kind])
    return Exported(library.name, written, levels, tuple(e.name for e in library.entries),
                    linker.name if linker else "", manifest)


