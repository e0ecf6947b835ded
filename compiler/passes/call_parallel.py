"""px-call-parallel: loops of many threads become calls that an exported library hands to the host program.

    scf.parallel (%i) = (0) to (%n) step (1) { func.call @body(%x, %i) }
    ->  func.call @px_share__body(%x, %n, %workspace)

The body of `px_share__body` is written in LLVM IR when the library is made (`compiler/aot/levels.py`): it calls the
parallel-for callback that the caller of the library gave, or loops. Where the callback is kept, in front of the
workspace, is made room for here: the driver passes its clusters a workspace that starts one line later.
"""

from __future__ import annotations

from typing import Any

from mlir import ir
from mlir.dialects import arith, func

from phalanx.compiler.passes.outline_parallel import outline_parallel
from phalanx.compiler.pipeline.registry import pass_

PREFIX = "px_share__"
#: room in front of the workspace, where the callback and its user pointer are kept
HEADER_BYTES = 64


@pass_("px-call-parallel", "parallel loops call the host program's parallel-for callback")
def call_parallel(module: ir.Module) -> None:
    """Loops whose bodies could not be outlined stay, and run one after the other."""
    outline_parallel(module)
    functions = {ir.StringAttr(f.attributes["sym_name"]).value: f.operation
                 for f in module.body.operations if f.operation.name == "func.func"}
    replaced = [_replace(loop, functions) for function in list(functions.values()) if "px.cluster" in function.attributes
                for loop in _loops(function)]
    if any(replaced) and "main" in functions:
        _make_room(functions["main"], functions)


def _loops(operation: Any) -> list[Any]:
    found = []
    for region in operation.regions:
        for block in region.blocks:
            for inner in block.operations:
                if inner.operation.name == "scf.parallel":
                    found.append(inner.operation)
                else:
                    found += _loops(inner.operation)
    return found


def _constant(value: Any) -> int | None:
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != "arith.constant":
        return None
    return int(ir.IntegerAttr(owner.attributes["value"]).value)


def _enclosing(operation: Any) -> Any:
    while operation.name != "func.func":
        operation = operation.parent.operation
    return operation


def _replace(loop: Any, functions: dict[str, Any]) -> bool:
    """Turn one loop into a call; says whether it could."""
    body = loop.regions[0].blocks[0]
    operations = [inner.operation for inner in body.operations]
    if len(body.arguments) != 1 or len(operations) != 2 or operations[0].name != "func.call":
        return False
    lower, upper, step = loop.operands[0], loop.operands[1], loop.operands[2]
    call = operations[0]
    *passed, last = list(call.operands)
    if (_constant(lower), _constant(step)) != (0, 1) or last != body.arguments[0] or body.arguments[0] in passed:
        return False
    name = PREFIX + ir.FlatSymbolRefAttr(call.attributes["callee"]).value
    enclosing = _enclosing(loop)
    workspace = list(enclosing.regions[0].blocks[0].arguments)[-1]
    operands = [*passed, upper, workspace]
    with loop.location:
        if name not in functions:
            with ir.InsertionPoint(enclosing):
                functions[name] = func.FuncOp(name, ir.FunctionType.get([o.type for o in operands], []),
                                              visibility="private").operation
        with ir.InsertionPoint(loop):
            func.CallOp([], name, operands)
    loop.erase()
    return True


def _make_room(main: Any, functions: dict[str, Any]) -> None:
    """Let the driver's workspace start behind the place of the callback."""
    moved: dict[Any, None] = {}
    for call in _calls(main):
        callee = ir.FlatSymbolRefAttr(call.attributes["callee"]).value
        if "px.cluster" in functions[callee].attributes:
            moved.setdefault(list(call.operands)[-1])
    for workspace in moved:
        view = workspace.owner
        with view.location, ir.InsertionPoint(view):
            room = arith.constant(ir.IndexType.get(), HEADER_BYTES)
            view.operands[1] = arith.addi(view.operands[1], room)


def _calls(operation: Any) -> list[Any]:
    found = []
    for region in operation.regions:
        for block in region.blocks:
            for inner in block.operations:
                if inner.operation.name == "func.call":
                    found.append(inner.operation)
                found += _calls(inner.operation)
    return found
