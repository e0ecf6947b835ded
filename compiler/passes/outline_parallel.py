"""px-outline-parallel: the body of every `scf.parallel` becomes a function of its own.

    scf.parallel (%i) = ... { <uses %x, %n> }   ->   scf.parallel (%i) = ... { func.call @f_parallel(%x, %n, %i) }

OpenMP hands a body what it uses in a struct in memory, where LLVM loses which pointers do not alias: loops over
many buffers then get run-time checks and two versions, or stay scalar. Function arguments keep `llvm.noalias`.
Stack memory of a body is also freed per call, and its loops no longer stand inside `memref.alloca_scope`, which
may hold only one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlir import ir
from mlir.dialects import func

from phalanx.compiler.pipeline.registry import pass_

# Cheap and pure: repeated inside the body when the value itself cannot be an argument, or is a constant.
_VIEWS = frozenset(
    f"memref.{name}"
    for name in (
        "reinterpret_cast",
        "subview",
        "view",
        "cast",
        "collapse_shape",
        "expand_shape",
        "transpose",
        "reshape",
        "assume_alignment",
    )
)
_NOALIAS = "llvm.noalias"


@pass_("px-outline-parallel", "move the bodies of parallel loops into functions, which keep noalias")
def outline_parallel(module: ir.Module) -> None:
    """Leaves alone loops that reduce, and bodies using a buffer that can be neither passed nor recomputed."""
    functions = [operation for operation in module.body.operations if operation.operation.name == "func.func"]
    names = {ir.StringAttr(function.attributes["sym_name"]).value for function in functions}
    for function in functions:
        for loop in list(_outermost_loops(function.operation)):
            if len(loop.results) == 0:
                _outline(function, loop, names)


def _outermost_loops(operation: Any) -> Iterator[Any]:
    for region in operation.regions:
        for block in region.blocks:
            for inner in block.operations:
                if inner.operation.name == "scf.parallel":
                    yield inner.operation
                elif len(inner.operation.regions):
                    yield from _outermost_loops(inner.operation)


class _Captures:
    """What a loop body uses from outside: `arguments` to pass, `recomputed` ops to repeat, both in order of use."""

    def __init__(self, loop: Any) -> None:
        self.arguments: dict[Any, None] = {}
        self.recomputed: dict[Any, None] = {}
        self.possible = True
        inside: set[Any] = set()
        body = loop.regions[0].blocks[0]

        def enter(block: Any) -> None:
            inside.update(block.arguments)
            for inner in block.operations:
                for operand in inner.operation.operands:
                    if operand not in inside:
                        self._add(operand)
                for region in inner.operation.regions:
                    for nested in region.blocks:
                        enter(nested)
                inside.update(inner.operation.results)

        enter(body)

    def _add(self, value: Any) -> None:
        if value in self.arguments or value in self.recomputed:
            return
        producer = None if isinstance(value.owner, ir.Block) else value.owner
        if producer is not None and producer.name == "arith.constant":
            self.recomputed[value] = None
        elif _can_be_passed(value.type):
            self.arguments[value] = None
        elif producer is not None and producer.name in _VIEWS:
            for operand in producer.operands:
                self._add(operand)
            self.recomputed[value] = None
        else:
            self.possible = False


def _can_be_passed(type_: Any) -> bool:
    """Whether a value of this type fits the bare-pointer convention: everything but buffers of unknown layout."""
    if isinstance(type_, ir.UnrankedMemRefType):
        return False
    if not isinstance(type_, ir.MemRefType):
        return True
    memref = ir.MemRefType(type_)
    strides, offset = memref.get_strides_and_offset()
    dynamic = ir.ShapedType.get_dynamic_stride_or_offset()
    return memref.has_static_shape and offset == 0 and dynamic not in strides


def _outline(function: Any, loop: Any, names: set[str]) -> None:
    captures = _Captures(loop)
    if not captures.possible:
        return
    body = loop.regions[0].blocks[0]
    passed = [*captures.arguments, *body.arguments]
    name = _fresh(ir.StringAttr(function.attributes["sym_name"]).value + "_parallel", names)
    with loop.location:
        signature = ir.FunctionType.get([value.type for value in passed], [])
        with ir.InsertionPoint(function):
            outlined = func.FuncOp(name, signature, visibility="private")
        outlined.attributes["arg_attrs"] = ir.ArrayAttr.get([_argument_attributes(function, value) for value in passed])
        entry = outlined.add_entry_block()
        mapping: dict[Any, Any] = dict(zip(passed, entry.arguments, strict=True))
        for value in captures.recomputed:
            with ir.InsertionPoint(entry):
                copy = value.owner.clone()
            _replace_operands(copy, mapping)
            mapping[value] = copy.results[0]
        moved = [operation.operation for operation in body.operations][:-1]  # all but scf.reduce
        for operation in moved:
            operation.detach_from_parent()
            entry.append(operation)
            _replace_operands(operation, mapping)
        with ir.InsertionPoint(entry):
            func.ReturnOp([])
        with ir.InsertionPoint.at_block_begin(body):
            func.CallOp(outlined, passed)


def _replace_operands(operation: Any, mapping: dict[Any, Any]) -> None:
    for index, operand in enumerate(operation.operands):
        if operand in mapping:
            operation.operands[index] = mapping[operand]
    for region in operation.regions:
        for block in region.blocks:
            for inner in block.operations:
                _replace_operands(inner.operation, mapping)


def _argument_attributes(function: Any, value: Any) -> Any:
    """A buffer argument stays `noalias` when the enclosing function has it so."""
    arguments = list(function.regions[0].blocks[0].arguments)
    if value in arguments and "arg_attrs" in function.attributes:
        attributes = ir.DictAttr(ir.ArrayAttr(function.attributes["arg_attrs"])[arguments.index(value)])
        if _NOALIAS in attributes:
            return ir.DictAttr.get({_NOALIAS: ir.UnitAttr.get()})
    return ir.DictAttr.get({})


def _fresh(name: str, names: set[str]) -> str:
    candidate, number = name, 0
    while candidate in names:
        number += 1
        candidate = f"{name}_{number}"
    names.add(candidate)
    return candidate
