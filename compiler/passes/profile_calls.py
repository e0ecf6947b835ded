"""px-profile-calls: the driver notes when each call of a cluster starts and ends.

    call @red_L6_1(...)   ->   %start = call @px_profile_now()
                               call @red_L6_1(...)
                               call @px_profile_note(%site, %start)

Sites are numbered in the order of the module, and their clusters listed in the module's `px.profile_sites`. The two
functions are given to the loader by `compiler/profiling/clock.py`.
"""

from __future__ import annotations

from typing import Any

from mlir import ir
from mlir.dialects import arith, func

from phalanx.compiler.pipeline.registry import pass_

NOW, NOTE, SITES = "px_profile_now", "px_profile_note", "px.profile_sites"


@pass_("px-profile-calls", "the driver notes the time of every call of a cluster")
def profile_calls(module: ir.Module) -> None:
    """Calls inside clusters are left alone: what is timed is what the driver does, in order."""
    functions = [f.operation for f in module.body.operations if f.operation.name == "func.func"]
    clusters = {ir.StringAttr(f.attributes["sym_name"]).value for f in functions if "px.cluster" in f.attributes}
    sites: list[str] = []
    number = ir.IntegerType.get_signless(64)
    for function in functions:
        if "px.cluster" in function.attributes:
            continue
        for call in _calls(function):
            callee = ir.FlatSymbolRefAttr(call.attributes["callee"]).value
            if callee in clusters:
                _wrap(call, len(sites), number)
                sites.append(callee)
    module.operation.attributes[SITES] = ir.ArrayAttr.get([ir.StringAttr.get(name) for name in sites])
    if sites:
        with ir.InsertionPoint.at_block_begin(module.body), module.operation.location:
            func.FuncOp(NOW, ir.FunctionType.get([], [number]), visibility="private")
            func.FuncOp(NOTE, ir.FunctionType.get([number, number], []), visibility="private")


def _calls(operation: Any) -> list[Any]:
    found: list[Any] = []

    def visit(inner: ir.Operation) -> ir.WalkResult:
        if inner.name == "func.call":
            found.append(inner)
        return ir.WalkResult.ADVANCE

    operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    return found


def _wrap(call: Any, site: int, number: Any) -> None:
    with call.location, ir.InsertionPoint(call):
        start = func.CallOp([number], NOW, []).operation.results[0]
        name = arith.constant(number, site)
        note = func.CallOp([], NOTE, [name, start])
    note.operation.move_after(call)
