"""The arguments of `main`: tensors with their sizes, named sizes as index values."""

from __future__ import annotations

import ast
from typing import Any

from mlir import ir

from phalanx.compiler.clusters import sizes
from phalanx.compiler.clusters.carries import overwrites
from phalanx.compiler.clusters.model import Block, Buffer, Place, Ref, Tensor
from phalanx.compiler.clusters.read import Reader
from phalanx.compiler.clusters.sizes import Size
from phalanx.dialects.errors import CompileError


def read_arguments(reader: Reader, main: Any, entry: Any, block: Block) -> list[Tensor]:
    """Tensors of the function's tensor arguments, living in the caller's buffers."""
    names = _dim_names(main)
    scalars = [value for value in entry.arguments if not isinstance(value.type, ir.RankedTensorType)]
    known: dict[str, Size] = {}
    for number, value in enumerate(scalars):
        leaf = reader.new_leaf(value)
        if number < len(names):
            known[names[number]] = leaf
    tensors: list[Tensor] = []
    attributes = main.attributes["arg_attrs"] if "arg_attrs" in main.attributes else None
    for number, value in enumerate(entry.arguments):
        if not isinstance(value.type, ir.RankedTensorType):
            continue
        shaped = ir.RankedTensorType(value.type)
        extents: list[Size] = [n if n >= 0 else -1 for n in shaped.shape]
        if -1 in extents:
            extents = _declared(extents, attributes[number] if attributes is not None else {}, known, number)
        tensor = Tensor(tuple(extents), shaped.element_type, block)
        tensor.strides = sizes.row_major(tensor.sizes)
        tensor.home = Place(Buffer("argument", tensor.nbytes), tensor.strides)
        reader.entries[value] = Ref(tensor, tensor.view)
        tensors.append(tensor)
    return tensors


def _dim_names(main: Any) -> list[str]:
    if "px.dims" not in main.attributes:
        return []
    return [ir.StringAttr(item).value for item in main.attributes["px.dims"]]


def _declared(extents: list[Size], attributes: Any, known: dict[str, Size], number: int) -> list[Size]:
    if "px.shape" not in attributes:
        raise CompileError(f"main: argument {number} has a dynamic size but no px.shape attribute")
    shape = list(attributes["px.shape"])
    return [
        size if size != -1 else _expression(ir.StringAttr(item).value, known)
        for size, item in zip(extents, shape, strict=True)
    ]


def _expression(text: str, known: dict[str, Size]) -> Size:
    """A size such as `n`, `2*n + 1` or `n // 2`."""
    return _evaluate(ast.parse(text, mode="eval").body, known, text)


def _evaluate(tree: ast.expr, known: dict[str, Size], text: str) -> Size:
    match tree:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return sizes.multiply(-1, _evaluate(operand, known, text))
        case ast.BinOp(left=left, op=operator, right=right):
            lhs, rhs = _evaluate(left, known, text), _evaluate(right, known, text)
            match operator:
                case ast.Add():
                    return sizes.add(lhs, rhs)
                case ast.Sub():
                    return sizes.add(lhs, sizes.multiply(-1, rhs))
                case ast.Mult():
                    return sizes.multiply(lhs, rhs)
                case ast.FloorDiv():
                    return sizes.apply("arith.floordivsi", lhs, rhs)
                case ast.Mod():
                    whole = sizes.multiply(sizes.apply("arith.floordivsi", lhs, rhs), rhs)
                    return sizes.add(lhs, sizes.multiply(-1, whole))
                case ast.Pow() if isinstance(rhs, int) and rhs >= 0:
                    return sizes.product([lhs] * rhs)
        case ast.Call(func=ast.Name(id=("max" | "min") as name), args=[left, right]):
            return sizes.apply(f"arith.{name}si", _evaluate(left, known, text), _evaluate(right, known, text))
    raise CompileError(f"main: {text!r} is not a size over {sorted(known)}")


def captured(main: Any, entry: Any) -> list[int]:
    """Which tensor arguments are captured (arg attr `px.captured`): the same at every call."""
    if "arg_attrs" not in main.attributes:
        return []
    attributes = main.attributes["arg_attrs"]
    tensors = [number for number, value in enumerate(entry.arguments) if isinstance(value.type, ir.RankedTensorType)]
    return [place for place, number in enumerate(tensors) if "px.captured" in attributes[number]]


def donated_results(main: Any, block: Block, tensors: list[Tensor]) -> dict[int, int]:
    """Which result overwrites which donated argument (arg attr `px.donated`): same type, each argument once."""
    attributes = main.attributes["arg_attrs"] if "arg_attrs" in main.attributes else None
    if attributes is None:
        return {}
    entry = set(block.block.arguments)
    free = [number for number in range(len(tensors)) if "px.donated" in attributes[number]]
    found: dict[int, int] = {}
    taken: set[Tensor] = set()
    for position, ref in enumerate(block.results):
        for number in free:
            old = tensors[number]
            alike = old.sizes and ref.view.sizes == old.sizes and ref.tensor.element == old.element
            if alike and ref.tensor not in taken and overwrites(ref, old, block, entry):
                found[position] = number
                taken.add(ref.tensor)
                free.remove(number)
                break
    return found
