"""Functions that arrive as LLVM IR text: compiled once per process for all modules that call them, beside the rest.

A declaration that carries `px.code` has its body there, in a form that needs no pass. The texts of one module that were
not seen before become objects in a thread that makes a single call of LLVM for each: Python's lock, which the passes of MLIR
keep for many milliseconds at a time, is not asked for in between.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.targets import machines
from phalanx.compiler.targets.generation import Generation, Worker
from phalanx.compiler.targets.half import HELPERS, link_helpers, mentioned
from phalanx.compiler.targets.isa import Isa
from phalanx.compiler.targets.llvm_c import Linkage, LlvmModule, TargetMachine, Visibility, parse
from phalanx.dialects.errors import CompileError

CODE = "px.code"
"""The attribute of a declaration that holds the function as LLVM IR."""

_MOST = 512
"""Texts remembered."""

_LARGE = 12_000
"""Characters from which a text is worth an object of its own, which costs 1 ms, so that two threads share the work."""


def attached(module: Any) -> dict[str, str]:
    """The texts of the declarations of an MLIR module, by name."""
    return {ir.StringAttr(view.attributes["sym_name"]).value: ir.StringAttr(view.attributes[CODE]).value
            for view in module.body.operations if CODE in view.attributes}


class _Group:
    """Some texts on their way to one object."""

    def __init__(self, texts: Sequence[str], isa: Isa) -> None:
        self.texts = tuple(texts)
        self.isa = isa
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._object: bytes | None = None
        self._error: CompileError | None = None
        machine = machines.take(isa)
        self.generation = Generation(_prepared(texts, isa, machine), machine, "")

    def result(self) -> bytes:
        """The object, once it is there."""
        with self._lock:
            if self._object is None and self._error is None:
                self._finish()
            if self._error is not None:
                raise self._error
            assert self._object is not None
            return self._object

    def usable(self) -> bool:
        """Whether the thread that compiles is in this process; a fork leaves it behind."""
        return self._object is not None or self._process == os.getpid()

    def _finish(self) -> None:
        try:
            self._object = self.generation.result()
        except CompileError as error:
            self._error = error


def _prepared(texts: Sequence[str], isa: Isa, machine: TargetMachine) -> LlvmModule:
    text = "\n".join(texts)
    module = parse(text, "codes")
    try:
        module.set_target(machine)
        if mentioned(text):
            link_helpers(module)
            for name in sorted(HELPERS):  # other objects have their own
                module.set_visibility(name, Visibility.DEFAULT)
                module.set_linkage(name, Linkage.INTERNAL)
        module.add_attributes(isa.function_attributes)
        module.verify()
    except CompileError:
        module.close()
        raise
    return module


_lock = threading.Lock()
_groups: dict[tuple[str, Isa], _Group] = {}


def start(codes: Mapping[str, str], isa: Isa, worker: Worker) -> None:
    """Let the worker begin with the texts that were not compiled before."""
    if codes:
        with _lock:
            _choose(codes, isa, worker)


def objects(codes: Mapping[str, str], isa: Isa) -> list[bytes]:
    """Objects that define every one of the functions, each of them once."""
    if not codes:
        return []
    with _lock:
        groups = _choose(codes, isa)
    return [group.result() for group in groups]


def assembly(codes: Mapping[str, str], isa: Isa) -> str:
    """Assembly text of the same functions, for reading."""
    if not codes:
        return ""
    texts = sorted(codes.values())
    with machines.borrowed(isa) as machine, _prepared(texts, isa, machine) as module:
        return module.emit_assembly(machine)


def _choose(codes: Mapping[str, str], isa: Isa, worker: Worker | None = None) -> list[_Group]:
    texts = sorted(codes.values())
    found = [group for text in texts if (group := _groups.get((text, isa))) is not None and group.usable()]
    groups = list(dict.fromkeys(found))
    defined = [text for group in groups for text in group.texts]
    if len(defined) != len(set(defined)):
        groups, defined = [], []  # a text that was forgotten was compiled again, in the company of others
    missing = [text for text in texts if text not in defined]
    large = [text for text in missing if len(text) >= _LARGE]
    small = [text for text in missing if len(text) < _LARGE]
    for together in filter(None, [*([text] for text in large), small]):
        group = _Group(together, isa)
        groups.append(group)
        if worker is not None:
            worker.add(group.generation)
        for text in together:
            _groups.pop((text, isa), None)
            _groups[text, isa] = group
    while len(_groups) > _MOST:
        del _groups[next(iter(_groups))]
    return groups


def forget() -> None:
    """Compile everything again; tests use it."""
    with _lock:
        _groups.clear()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
