"""Turns every cluster function of a module into loops on memory, in place."""

from __future__ import annotations

from typing import Any

from mlir import ir

from phalanx.compiler.schedules.kernel import Kernel
from phalanx.compiler.schedules.routine import Shared
from phalanx.compiler.schedules.sharing import Sharing
from phalanx.compiler.targets.isa import Isa


def schedule(module: ir.Module, isa: Isa, *, threads: bool) -> None:
    """Rewrites every function that carries `px.cluster` from array ops to loop nests, in place.

    Each gets the attribute `px.workspace`: the bytes of scratch memory it wants behind its last argument. `threads`
    allows loops that are worth it to be shared among threads (scf.parallel).

    >>> schedule(module, isa("x86-64-v3"), threads=False)
    """
    functions = {
        ir.StringAttr(op.attributes["sym_name"]).value: op.operation
        for op in module.body.operations
        if "px.cluster" in op.attributes and "px.workspace" not in op.attributes
    }
    if not functions:
        return
    shared = Shared()
    texts = [text for function in functions.values() for text in schedule_function(function, isa, threads, shared)]
    texts += shared.texts.values()
    with module.context:
        written = ir.Module.parse("\n".join(texts))
    first = next(iter(module.body.operations)).operation
    for op in list(written.body.operations):
        old = functions.get(ir.StringAttr(op.attributes["sym_name"]).value)
        op.operation.move_before(old if old is not None else first)
    for old in functions.values():
        old.erase()


def schedule_function(function: Any, isa: Isa, threads: bool, shared: Shared) -> list[str]:
    """The functions and globals that replace one cluster function, as MLIR text.

    What it calls besides is added to `shared`.
    """
    kernel = Kernel(function, isa, shared)
    sharing = Sharing(function, kernel, isa) if threads and kernel.loops is not None else None
    if sharing is not None and sharing.cut is not None:
        return [*kernel.cluster.globals, *sharing.emit()]
    kernel.emit()
    return [*kernel.cluster.globals, kernel.text(kernel.name, {"px.workspace": f"{kernel.workspace.bytes} : i64"})]
