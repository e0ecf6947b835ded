"""Reads ops that move no data (transposes, slices, reshapes) and those that put a part into a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlir import ir

from phalanx.compiler.clusters import read_nests
from phalanx.compiler.clusters.model import Block, Empty, Fill, Insert, Ref
from phalanx.compiler.clusters.read_common import Entry, sizes_of
from phalanx.compiler.clusters.sizes import Size
from phalanx.compiler.clusters.view import View

if TYPE_CHECKING:
    from phalanx.compiler.clusters.read import Reader


def _with_view(entry: Entry, change: Callable[[View], View]) -> Entry:
    """The same values seen through a changed view."""
    if isinstance(entry, Ref):
        return Ref(entry.tensor, change(entry.view))
    changed = change(View.whole(entry.sizes)).sizes
    if isinstance(entry, Fill):
        return Fill(entry.scalar, changed, entry.element, entry.location)
    return Empty(changed, entry.element)


def _transpose(reader: Reader, op: Any, block: Block) -> None:
    permutation = list(op.attributes["permutation"])
    reader.entries[op.results[0]] = _with_view(reader.entries[op.operands[0]], lambda v: v.permute(permutation))


def _broadcast(reader: Reader, op: Any, block: Block) -> None:
    added = list(op.attributes["dimensions"])
    target = sizes_of(reader.entries[op.operands[1]])
    reader.entries[op.results[0]] = _with_view(reader.entries[op.operands[0]], lambda v: v.broadcast(target, added))


def _same_tensor(reader: Reader, op: Any, block: Block) -> None:
    reader.entries[op.results[0]] = reader.entries[op.operands[0]]


def _cast(reader: Reader, op: Any, block: Block) -> None:
    static = list(ir.RankedTensorType(op.results[0].type).shape)
    entry = reader.entries[op.operands[0]]
    known = tuple(n if n >= 0 else size for n, size in zip(static, sizes_of(entry), strict=True))
    reader.entries[op.results[0]] = _with_view(entry, lambda v: View(known, v.strides, v.offset))


def _groups(op: Any) -> list[list[int]]:
    return [[ir.IntegerAttr(d).value for d in group] for group in op.attributes["reassociation"]]


def _expand(reader: Reader, op: Any, block: Block) -> None:
    groups = _groups(op)
    extents = reader.mixed(list(op.attributes["static_output_shape"]), iter(list(op.operands)[1:]))
    entry = reader.entries[op.operands[0]]
    reader.entries[op.results[0]] = _with_view(entry, lambda v: v.expand(groups, extents))


def _collapse(reader: Reader, op: Any, block: Block) -> None:
    groups = _groups(op)
    entry = reader.entries[op.operands[0]]
    if not isinstance(entry, Ref):
        collapsed = View.whole(entry.sizes).collapse(groups)
        assert collapsed is not None
        reader.entries[op.results[0]] = _with_view(entry, lambda v: collapsed)
        return
    view = entry.view.collapse(groups)
    if view is None:
        entry = read_nests.permuted_store(reader, op, entry, block) or reader.copy(entry, block, op)
        view = entry.view.collapse(groups)
        assert view is not None
    reader.entries[op.results[0]] = Ref(entry.tensor, view)


def _extract_slice(reader: Reader, op: Any, block: Block) -> None:
    offsets, extents, steps, dropped = reader.slice_parts(op, 1, op.results[0].type)
    entry = reader.entries[op.operands[0]]
    reader.entries[op.results[0]] = _with_view(entry, lambda v: v.slice(offsets, extents, steps, dropped))


def _insert_slice(reader: Reader, op: Any, block: Block) -> None:
    offsets, extents, steps, dropped = reader.slice_parts(op, 2, op.operands[0].type)
    source = reader.memory(op.operands[0], block, op)
    _insert_node(reader, op, block, source, offsets, extents, steps, dropped)


def _insert_node(
    reader: Reader,
    op: Any,
    block: Block,
    source: Ref,
    offsets: list[Size],
    extents: list[Size],
    steps: list[Size],
    dropped: list[int],
) -> None:
    target = reader.entries[op.operands[1]]
    full = sizes_of(target)
    if isinstance(target, Fill) or (isinstance(target, Empty) and not full):
        target = reader.materialise(target, block, op)
    region = View.whole(full).slice(offsets, extents, steps, dropped)
    static = None
    if all(isinstance(n, int) for n in (*offsets, *extents, *steps)):
        static = tuple((int(a), int(b), int(c)) for a, b, c in zip(offsets, extents, steps, strict=True))  # type: ignore[arg-type]
    into = target if isinstance(target, Ref) else None
    node = reader.new_node("insert", op, block, Insert(source, into, region, static))
    reader.use(node, source)
    if into is not None:
        reader.use(node, into)
    for size in (region.offset, *region.sizes, *region.strides):
        reader.need_size(node, size)
    tensor = reader.new_tensor(node, full, source.tensor.element)
    reader.entries[op.results[0]] = Ref(tensor, tensor.view)


def _insert_scalar(reader: Reader, op: Any, block: Block) -> None:
    made = reader.new_node("elements", op, block, payload=[reader.resolve(op.operands[0])])
    reader.need(made, op.operands[0])
    scalar = reader.new_tensor(made, (), op.operands[0].type)
    offsets = [reader.size_of(value) for value in list(op.operands)[2:]]
    ones: list[Size] = [1] * len(offsets)
    _insert_node(reader, op, block, Ref(scalar, scalar.view), offsets, ones, ones, list(range(len(offsets))))


HANDLERS: dict[str, Callable[[Reader, Any, Block], None]] = {
    "linalg.transpose": _transpose,
    "linalg.broadcast": _broadcast,
    "linalg.copy": _same_tensor,
    "tensor.cast": _cast,
    "tensor.expand_shape": _expand,
    "tensor.collapse_shape": _collapse,
    "tensor.extract_slice": _extract_slice,
    "tensor.insert_slice": _insert_slice,
    "tensor.insert": _insert_scalar,
}
