"""Reads `linalg.generic` into its normal form: no unit loops, every operand a strided access."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlir import ir

from phalanx.compiler.clusters.model import Block, Fill, Node, Operand, Ref, Tensor
from phalanx.compiler.clusters.read_common import is_tensor, sizes_of, zero_of
from phalanx.compiler.clusters.sizes import Size
from phalanx.compiler.clusters.view import Access, View
from phalanx.dialects.errors import CompileError

if TYPE_CHECKING:
    from phalanx.compiler.clusters.read import Reader

LinearForm = tuple[int, dict[int, int]]  # constant, {dimension: factor}


def linear_form(expression: Any) -> LinearForm | None:
    """An affine expression as constant + sum of factor * dimension; None for mod and division."""
    if isinstance(expression, ir.AffineDimExpr):
        return 0, {expression.position: 1}
    if isinstance(expression, ir.AffineConstantExpr):
        return expression.value, {}
    if isinstance(expression, ir.AffineAddExpr | ir.AffineMulExpr):
        lhs, rhs = linear_form(expression.lhs), linear_form(expression.rhs)
        if lhs is None or rhs is None:
            return None
        if isinstance(expression, ir.AffineAddExpr):
            factors = dict(lhs[1])
            for d, factor in rhs[1].items():
                factors[d] = factors.get(d, 0) + factor
            return lhs[0] + rhs[0], factors
        if not rhs[1]:
            lhs, rhs = rhs, lhs
        if not lhs[1]:
            return lhs[0] * rhs[0], {d: lhs[0] * factor for d, factor in rhs[1].items()}
    return None


def _forms(reader: Reader, op: Any) -> list[list[LinearForm]]:
    attribute = op.attributes["indexing_maps"]
    cached = reader.maps.get(attribute)
    if cached is None:
        cached = []
        for item in attribute:
            forms = [linear_form(expression) for expression in item.value.results]
            if any(form is None for form in forms):
                raise CompileError(f"{op.name}: the indexing map {item} is not linear", location=str(op.location))
            cached.append([form for form in forms if form is not None])
        reader.maps[attribute] = cached
    return cached


def _reductions(reader: Reader, op: Any) -> tuple[bool, ...]:
    attribute = op.attributes["iterator_types"]
    cached = reader.iterators.get(attribute)
    if cached is None:
        cached = reader.iterators[attribute] = tuple("reduction" in str(item) for item in attribute)
    return cached


def _plain(form: LinearForm) -> int | None:
    """The dimension of a form that is just that dimension."""
    constant, factors = form
    if constant == 0 and len(factors) == 1:
        ((dim, factor),) = factors.items()
        return dim if factor == 1 else None
    return None


def _domain(op: Any, rank: int, shapes: Sequence[tuple[Size, ...]], maps: list[list[LinearForm]]) -> list[Size]:
    found: list[Size | None] = [None] * rank
    for shape, forms in zip(shapes, maps, strict=True):
        for size, form in zip(shape, forms, strict=True):
            dim = _plain(form)
            if dim is not None and not isinstance(found[dim], int):
                found[dim] = size if found[dim] is None or isinstance(size, int) else found[dim]
    if any(size is None for size in found):
        raise CompileError(f"{op.name}: a loop has no operand that gives its size", location=str(op.location))
    return [size for size in found if size is not None]


def _loop_order(forms: list[LinearForm], domain: list[Size], reductions: tuple[bool, ...]) -> list[int]:
    """The loops that matter, parallel ones in the order of the first output's dimensions."""
    kept = [d for d in range(len(domain)) if reductions[d] or domain[d] != 1]
    parallel = [d for d in kept if not reductions[d]]
    wanted = [dim for dim in map(_plain, forms) if dim in parallel]
    wanted += [d for d in parallel if d not in wanted]
    supply = iter(wanted)
    return [d if reductions[d] else next(supply) for d in kept]


_TAKES_VIEWS = frozenset(
    {"linalg.generic", "tensor.expand_shape", "tensor.collapse_shape", "tensor.extract_slice", "tensor.cast"}
)
"""Ops that read any strided array where it stands; others want one that is dense, or a value of their own."""


def read_as_view(reader: Reader, op: Any) -> bool:
    """A generic that only moves elements (a transpose, windows) as a view of its operand; False for any other."""
    maps, body = _forms(reader, op), op.regions[0].blocks[0]
    first = next(iter(body.operations)).operation
    if len(maps) != 2 or first.name != "linalg.yield" or first.operands[0] != body.arguments[0]:
        return False
    source, result = op.operands[0], op.results[0]
    entry = reader.entries[source]
    if not isinstance(entry, Ref) or source.type.element_type != result.type.element_type:
        return False
    if any(use.owner.name not in _TAKES_VIEWS for use in result.uses):
        return False
    loops = [_plain(form) for form in maps[1]]
    if None in loops:
        return False
    access = Access.of(entry.view, maps[0], len(loops))
    strides = [access.steps[dim] for dim in loops if dim is not None]
    shapes = [sizes_of(reader.entries[value]) for value in op.operands]
    sizes_ = _static_sizes(result, shapes[1])
    reader.entries[result] = Ref(entry.tensor, View(sizes_, tuple(strides), access.offset))
    return True


def read_generic(reader: Reader, op: Any, block: Block) -> None:
    """A loop nest: elementwise, reduction or contraction."""
    if read_as_view(reader, op):
        return
    maps, reductions = _forms(reader, op), _reductions(reader, op)
    body = op.regions[0].blocks[0]
    n_out = len(op.results)
    n_in = len(maps) - n_out
    entries = [reader.entries[value] for value in op.operands]
    shapes = [sizes_of(entry) for entry in entries]
    rank = len(reductions)
    domain = _domain(op, rank, shapes, maps)
    kept = _loop_order(maps[n_in], domain, reductions)
    kind = "reduction" if any(reductions) else "elementwise"
    if kind == "reduction" and "px.kind" in op.attributes:
        kind = ir.StringAttr(op.attributes["px.kind"]).value
    if kind not in ("elementwise", "reduction", "contraction"):
        raise CompileError(f"{op.name}: unknown px.kind {kind!r}", location=str(op.location))

    operands: list[Operand] = []
    inits: list[Operand] = []
    refs: list[Ref] = []
    for number, (entry, forms) in enumerate(zip(entries, maps, strict=True)):
        output = number >= n_in
        if output and kind == "elementwise" and not _is_used(body.arguments[number]):
            continue
        loops = [d for d in kept if not reductions[d]] if output else kept
        if isinstance(entry, Ref):
            refs.append(entry)
            operand = Operand(number, entry.tensor, Access.of(entry.view, forms, rank).keep(loops))
        elif isinstance(entry, Fill):
            operand = Operand(number, scalar=entry.scalar)
        else:
            operand = Operand(number, scalar=zero_of(entry.element))
        (inits if output and kind != "elementwise" else operands).append(operand)

    captured, scalars = _captures(reader, op, body, block)
    node = reader.new_node(kind, op, block)
    node.domain = tuple(domain[d] for d in kept)
    node.reduced = tuple(i for i, d in enumerate(kept) if reductions[d])
    node.kept = tuple(kept)
    node.body, node.operands, node.inits = body, operands, inits
    node.captured, node.scalars = captured, scalars
    for ref in refs:
        reader.use(node, ref)
    for _, ref in captured:
        reader.use(node, ref)
    for value in scalars:
        reader.need(node, value)
    for operand in (*operands, *inits):
        if isinstance(operand.scalar, ir.Value):
            reader.need(node, operand.scalar)
    for size in node.domain:
        if not isinstance(size, int):
            reader.need_size(node, size)
    loops = [d for d in kept if not reductions[d]]
    for k in range(n_out):
        element = ir.RankedTensorType(op.results[k].type).element_type
        tensor = reader.new_tensor(node, _static_sizes(op.results[k], shapes[n_in + k]), element)
        dims = [_plain(form) for form in maps[n_in + k]]
        tensor.store = tuple(loops.index(d) if d in loops else None for d in dims)
        tensor.loops = len(loops)
        if len({s for s in tensor.store if s is not None}) != len(loops):
            raise CompileError(f"{op.name}: the output map is not a permutation", location=str(op.location))
        reader.entries[op.results[k]] = Ref(tensor, tensor.view)


def _static_sizes(value: Any, known: tuple[Size, ...]) -> tuple[Size, ...]:
    shape = ir.RankedTensorType(value.type).shape
    return tuple(n if n >= 0 else size for n, size in zip(shape, known, strict=True))


def _is_used(value: Any) -> bool:
    return next(iter(value.uses), None) is not None


def _captures(reader: Reader, op: Any, body: Any, block: Block) -> tuple[list[tuple[Any, Ref]], list[Any]]:
    """Tensors and scalars from outside that a body uses."""
    inside: set[Any] = set(body.arguments)
    tensors: dict[Any, Ref] = {}
    scalars: list[Any] = []
    for value in outside_values(body, inside):
        if is_tensor(value):
            tensors[value] = reader.memory(value, block, op)
        else:
            scalars.append(value)
    return list(tensors.items()), scalars


def outside_values(block: Any, inside: set[Any]) -> list[Any]:
    """Values used in a block (nested ones too) but defined outside of it, in order of first use."""
    found: dict[Any, None] = {}
    for view in block.operations:
        op = view.operation
        for value in op.operands:
            if value not in inside:
                found.setdefault(value)
        for region in op.regions:
            for inner in region.blocks:
                inside.update(inner.arguments)
                found.update(dict.fromkeys(outside_values(inner, inside)))
        inside.update(op.results)
    return list(found)


def set_copy_domain(node: Node, extents: Sequence[Size]) -> None:
    """Make a node a copy (or fill) over an array of these sizes."""
    node.kept = tuple(d for d, size in enumerate(extents) if size != 1)
    node.domain = tuple(extents[d] for d in node.kept)


def set_store(tensor: Tensor) -> None:
    """The result of a copy or fill: loops are the non-unit dimensions in order."""
    node = tensor.node
    assert node is not None
    tensor.store = tuple(node.kept.index(d) if d in node.kept else None for d in range(len(tensor.sizes)))
    tensor.loops = len(node.kept)


def permuted_store(reader: Reader, op: Any, ref: Ref, block: Block) -> Ref | None:
    """Layout follows the consumer: let the producer of a value that is only read transposed store it so.

    `reshape(transpose(x))` then is a view. Only for a whole permutation of a value of the same block whose
    single reader is this op, and only before anybody relied on the layout.
    """
    tensor, view = ref.tensor, ref.view
    node = tensor.node
    if node is None or tensor.block is not block or tensor.readers or node.kind not in ("elementwise", "contraction"):
        return None
    if len(view.sizes) != len(tensor.sizes) or view.offset != 0:
        return None
    if 0 in view.sizes or not _only_use(reader, op, node.op, tensor):
        return None
    wanted = View.whole(view.sizes).strides
    sources = [(s, n) for s, n in zip(tensor.strides, tensor.sizes, strict=True) if n != 1]
    shown = [(s, n) for s, n in zip(view.strides, view.sizes, strict=True) if n != 1]
    if sorted(map(str, sources)) != sorted(map(str, shown)) or len({s for s, _ in sources}) != len(sources):
        return None
    change = {old: new for old, new, n in zip(view.strides, wanted, view.sizes, strict=True) if n != 1}
    tensor.strides = tuple(change[s] if n != 1 else 1 for s, n in zip(tensor.strides, tensor.sizes, strict=True))
    return Ref(tensor, View(view.sizes, wanted))


def _only_use(reader: Reader, op: Any, producer: Any, tensor: Tensor) -> bool:
    """The chain of views from `producer` to `op` has no other use on its way."""
    value = op.operands[0]
    for _ in range(64):
        owner, entry = value.owner, reader.entries.get(value)
        if len(list(value.uses)) != 1 or isinstance(owner, ir.Block):
            return False
        if owner == producer:
            return len(producer.results) == 1
        if not isinstance(entry, Ref) or entry.tensor is not tensor:
            return False
        value = owner.operands[0]
    return False
