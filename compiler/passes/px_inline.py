"""px-inline: calls of private functions are replaced by their bodies.

Functions with a gradient rule of their own (`px.custom_vjp`) are calls while a program is traced, since grad
must see them whole; afterwards nothing needs them.
"""

from __future__ import annotations

from mlir import ir

from phalanx.compiler.pipeline.registry import pass_
from phalanx.compiler.transforms import replay


@pass_("px-inline", "put the bodies of private functions in the place of their calls")
def px_inline(module: ir.Module) -> None:
    """Inline until no call of a private function with a body is left, then drop those functions."""
    functions = {_name(f): f for f in _functions(module) if _is_private(f)}
    if not functions:
        return
    while True:
        calls = [o for f in _functions(module) for o in replay.inside(f)
                 if o.name == "func.call" and ir.FlatSymbolRefAttr(o.attributes["callee"]).value in functions]
        if not calls:
            break
        for call in calls:
            _inline(call, functions[ir.FlatSymbolRefAttr(call.attributes["callee"]).value])
    for function in functions.values():
        function.erase()


def _functions(module: ir.Module) -> list[ir.Operation]:
    return [o.operation for o in module.body.operations if o.operation.name == "func.func"]


def _name(function: ir.Operation) -> str:
    return str(ir.StringAttr(function.attributes["sym_name"]).value)


def _is_private(function: ir.Operation) -> bool:
    visibility = function.attributes["sym_visibility"] if "sym_visibility" in function.attributes else None
    return visibility is not None and visibility.value == "private" and len(function.regions[0].blocks) > 0


def _inline(call: ir.Operation, function: ir.Operation) -> None:
    block = function.regions[0].blocks[0]
    mapping: replay.Mapping = dict(zip(block.arguments, call.operands, strict=True))
    *body, last = replay.operations(block)
    for operation in body:
        copy = operation.clone(ip=ir.InsertionPoint(call)).operation
        replay.rename(copy, mapping)
        mapping.update(zip(operation.results, copy.results, strict=True))
    for result, value in zip(call.results, last.operands, strict=True):
        result.replace_all_uses_with(mapping.get(value, value))
    call.erase()
