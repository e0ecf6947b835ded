"""Turns every cluster function of a module into loops on memory, in place."""

from __future__ import annotations

from mlir import ir

from phalanx.compiler.schedules.kernel import Kernel
from phalanx.compiler.schedules.panels import PACKS, Ahead, pack_text
from phalanx.compiler.schedules.prepacked import Captures
from phalanx.compiler.schedules.routine import Shared
from phalanx.compiler.schedules.sharing import Sharing, share
from phalanx.compiler.targets.isa import Isa
from phalanx.runtime.prepacked import Panels


def schedule(module: ir.Module, isa: Isa, *, threads: bool, prepack: bool = False) -> None:
    """Rewrites every function that carries `px.cluster` from array ops to loop nests, in place.

    Each gets the attribute `px.workspace`: the bytes of scratch memory it wants behind its last argument. `threads`
    allows loops that are worth it to be shared among threads (scf.parallel). With `prepack`, captured matrices may be
    expected packed; the attribute `px.prepacked` of `main` then says which, and how.

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
    captures = Captures(module) if prepack else None
    texts: list[str] = []
    prepacked: dict[str, Panels] = {}
    ahead: dict[str, Ahead | None] = {}
    kernels = {
        name: Kernel(function, isa, shared, captures.of(name) if captures is not None else frozenset())
        for name, function in functions.items()
        if PACKS not in function.attributes
    }
    sharings = share(module, kernels, isa) if threads else {}
    for name, kernel in kernels.items():
        texts += _written(kernel, sharings.get(name))
        if kernel.prepacked is not None:
            prepacked[name] = kernel.prepacked
        ahead[name] = kernel.ahead
    for function in functions.values():
        if PACKS in function.attributes:
            product = ir.FlatSymbolRefAttr(function.attributes[PACKS]).value
            texts.append(pack_text(function, ahead[product], shared, isa.cores if threads else 1))
    texts += shared.declarations()
    if captures is not None:
        captures.note(prepacked)
    with module.context:
        written = ir.Module.parse("\n".join(texts))
    first = next(iter(module.body.operations)).operation
    for op in list(written.body.operations):
        old = functions.get(ir.StringAttr(op.attributes["sym_name"]).value)
        op.operation.move_before(old if old is not None else first)
    for old in functions.values():
        old.erase()


def _written(kernel: Kernel, sharing: Sharing | None) -> list[str]:
    """The functions and globals that replace one cluster function, as MLIR text."""
    if sharing is not None and sharing.cut is not None:
        return [*kernel.cluster.globals, *sharing.emit()]
    kernel.emit()
    return [*kernel.cluster.globals, kernel.text(kernel.name, {}, kernel.workspace.bytes)]
