"""Modules are compiled in parts side by side: while Python lowers one, LLVM is at work on another in a thread of its own.

What a part holds follows from the module alone, so the object is the same on every machine. A function that is defined in
one part and called in another carries `px.shared` in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mlir import ir

from phalanx.compiler.targets.codes import CODE
from phalanx.dialects.records import field, record

SHARED = "px.shared"
"""The attribute of functions that another part defines or calls."""

# As `_weigh` weighs functions, 20 to 40 to a millisecond of LLVM: from where on there are one, two and three parts besides
# the driver's, and what is never worth being one, since each costs 2 ms.
_WORTH_PARTS = (250, 600, 2400)
_WORTH_A_PART = 160
# What may stay with the driver, and what always does.
_SHARE_OF_THE_DRIVER = 0.2
_SMALL = 100

_LOOP = 50
_LOOPS = frozenset({"scf.for", "scf.while", "scf.parallel"})
#: operations that name something else than a function to call
_NAMING = frozenset({"memref.get_global", "func.constant", "llvm.mlir.addressof", "llvm.call"})


@record(frozen=False)
class _Function:
    """A function with a body: what it calls, what there is for LLVM to do, and whether it can stand apart."""

    operation: Any
    weight: int = 0
    callees: set[str] = field(default_factory=set)
    apart: bool = True


def split(module: ir.Module) -> list[ir.Module]:
    """Moves functions with much to do out of a module of `func.func`s, into modules of their own; often there are none.

    `main` and what is small stay, as does what uses variables or constants of the module.
    """
    functions = {_name(view): view.operation for view in module.body.operations if view.operation.name == "func.func"}
    found = {name: _weigh(op) for name, op in functions.items() if op.regions[0].blocks}
    dealt = _deal(found)
    if not dealt:
        return []
    home = {name: number for number, names in enumerate(dealt, 1) for name in names}
    calls = [(name, callee) for name, function in found.items() for callee in function.callees]
    crossing = [(name, callee) for name, callee in calls if home.get(name, 0) != home.get(callee, 0)]
    with module.context:
        for callee in {callee for _, callee in crossing if callee in found}:
            functions[callee].attributes[SHARED] = ir.UnitAttr.get()
        parts = [_part(module, [functions[name] for name in names]) for names in dealt]
        for number, place in enumerate([module, *parts]):
            wanted = dict.fromkeys(callee for name, callee in crossing if home.get(name, 0) == number)
            _declare(place, [functions[callee] for callee in wanted])
    return parts


def shared(module: ir.Module) -> list[str]:
    """The functions of a module in the LLVM dialect that it has in common with other parts."""
    return [_name(view) for view in module.body.operations if SHARED in view.attributes]


def _name(view: Any) -> str:
    return str(ir.StringAttr(view.attributes["sym_name"]).value)


def _weigh(operation: Any) -> _Function:
    found = _Function(operation)

    def visit(inner: ir.Operation) -> ir.WalkResult:
        name = inner.name
        found.weight += _LOOP if name in _LOOPS else 1
        if name == "func.call":
            found.callees.add(ir.FlatSymbolRefAttr(inner.attributes["callee"]).value)
        elif name in _NAMING:
            found.apart = False
        return ir.WalkResult.ADVANCE

    operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    return found


def _deal(found: dict[str, _Function]) -> list[list[str]]:
    """Names by part, in the order of the module; the part of `main` is not among them.

    Parts have nearly the same to do, the driver's less: it is the last that is lowered.
    """
    movable = {name: function.weight for name, function in found.items()
               if function.apart and "px.cluster" in function.operation.attributes and function.weight >= _SMALL}
    left = total = sum(function.weight for function in found.values())
    count = sum(total >= least for least in _WORTH_PARTS)
    parts: list[list[str]] = [[] for _ in range(count)]
    weights = [0] * count
    for name in sorted(movable, key=lambda name: (-movable[name], name)):
        if left <= _SHARE_OF_THE_DRIVER * total or not count:
            break
        number = min(range(count), key=weights.__getitem__)
        parts[number].append(name)
        weights[number] += movable[name]
        left -= movable[name]
    order = {name: number for number, name in enumerate(found)}
    return [sorted(names, key=order.__getitem__) for names, weight in zip(parts, weights, strict=True)
            if weight >= _WORTH_A_PART]


def _part(module: ir.Module, functions: Iterable[Any]) -> ir.Module:
    """A module of functions that are taken out of another."""
    part = ir.Module.create(loc=module.operation.location)
    for attribute in module.operation.attributes:
        part.operation.attributes[attribute] = module.operation.attributes[attribute]
    for function in functions:
        function.detach_from_parent()
        part.body.append(function)
    return part


def _declare(module: ir.Module, functions: Iterable[Any]) -> None:
    """What a module says of functions that other modules define."""
    present = {_name(view) for view in module.body.operations}
    with ir.InsertionPoint(module.body):
        for function in functions:
            if _name(function) not in present:
                ir.Operation.create("func.func", attributes=dict(_kept(function)), regions=1, loc=function.location)


def _kept(function: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of a declaration: those of the function but its LLVM IR, which one part alone compiles."""
    for name in ("sym_name", "function_type", "arg_attrs", "px.workspace"):
        if name in function.attributes:
            yield name, function.attributes[name]
    yield "sym_visibility", ir.StringAttr.get("private")
    if SHARED in function.attributes or CODE in function.attributes:  # and not what the process brings along
        yield SHARED, ir.UnitAttr.get()
