"""Reads a linalg function into blocks of nodes: views disappear, scalars become sizes or glue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.clusters import read_control, read_nests, read_values, read_views, sizes
from phalanx.compiler.clusters.model import (
    Block,
    Empty,
    Fill,
    Node,
    Operand,
    Ref,
    Tensor,
)
from phalanx.compiler.clusters.read_common import Entry, is_tensor, unsupported
from phalanx.compiler.clusters.sizes import Size
from phalanx.compiler.clusters.view import Access

DYNAMIC = -(2**63)


class Reader:
    """Values of the original function -> what the stage knows about them."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.entries: dict[Any, Entry] = {}
        self.sizes: dict[Any, Size] = {}
        self.constants: dict[Any, Any] = {}  # scalar value -> typed attribute
        self.makers: dict[Any, Node] = {}  # scalar value -> the node that computes it
        self.same: dict[Any, Any] = {}  # scalar value -> an equal one (extract of a fill)
        self.maps: dict[Any, list[list[read_nests.LinearForm]]] = {}
        self.iterators: dict[Any, tuple[bool, ...]] = {}
        self.leaf_count = 0
        self.hosts: dict[str, int] = {}
        self.index_type = ir.IndexType.get()
        for op in module.body.operations:
            if "px.host" in op.operation.attributes:
                self.hosts[ir.StringAttr(op.attributes["sym_name"]).value] = int(op.attributes["px.host"])

    # Blocks and nodes.

    def read_block(self, mlir_block: Any, block: Block) -> None:
        """Append the nodes of an MLIR block; its terminator's operands become `block.results`."""
        for view in mlir_block.operations:
            op = view.operation
            handler = _HANDLERS.get(op.name)
            if handler is not None:
                handler(self, op, block)
            elif op.name == "scf.condition":
                continue  # the while op reads its own condition
            elif op.name in _TERMINATORS:
                block.results = [self.result(value, block, op) for value in op.operands]
            elif op.name.split(".")[0] in _SCALAR_DIALECTS:
                self._scalar(op, block)
            else:
                raise unsupported(op)

    def new_node(self, kind: str, op: Any, block: Block, payload: Any = None) -> Node:
        node = Node(kind, op, block, len(block.nodes), payload=payload)
        block.nodes.append(node)
        return node

    def new_tensor(self, node: Node, sizes_: Sequence[Size], element: Any) -> Tensor:
        tensor = Tensor(tuple(sizes_), element, node.block, node, len(node.outputs))
        tensor.strides = sizes.row_major(tensor.sizes)
        node.outputs.append(tensor)
        return tensor

    def use(self, node: Node, ref: Ref) -> None:
        """Record that a node reads a tensor, and the scalars the view is made of."""
        node.reads.append(ref)
        if ref.tensor.block is node.block:
            ref.tensor.readers.append(node)
        else:
            node.block.outer_reads.append(ref)
        for size in (ref.view.offset, *ref.view.sizes, *ref.view.strides):
            if not isinstance(size, int):
                self.need_size(node, size)

    def need_size(self, node: Node, size: Size) -> None:
        for leaf in sizes.leaves(size):
            self.need(node, leaf.value)

    def need(self, node: Node, value: Any) -> None:
        """Record that a node uses a scalar value."""
        value = self.resolve(value)
        if value in self.sizes:
            known = self.sizes[value]
            for leaf in sizes.leaves(known):
                if leaf.value != value:
                    self.need(node, leaf.value)
        maker = self.makers.get(value)
        if maker is not None and maker is not node:
            if maker.block is node.block:
                node.needs.append(maker)
            else:
                node.block.outer_needs.append(maker)

    def resolve(self, value: Any) -> Any:
        while value in self.same:
            value = self.same[value]
        return value

    # Values.

    def new_leaf(self, value: Any) -> Size:
        self.leaf_count += 1
        size = sizes.leaf(self.leaf_count, value)
        self.sizes[value] = size
        return size

    def size_of(self, value: Any) -> Size:
        value = self.resolve(value)
        known = self.sizes.get(value)
        return known if known is not None else self.new_leaf(value)

    def entry(self, value: Any) -> Entry:
        return self.entries[value]

    def memory(self, value: Any, block: Block, op: Any) -> Ref:
        """The value as a tensor with storage: fills and undefined tensors get a node now."""
        entry = self.entries[value]
        return entry if isinstance(entry, Ref) else self.materialise(entry, block, op)

    def materialise(self, entry: Fill | Empty, block: Block, op: Any) -> Ref:
        if isinstance(entry, Empty):
            tensor = self.new_tensor(self.new_node("undefined", op, block), entry.sizes, entry.element)
        elif not entry.sizes:
            node = self.new_node("elements", op, block, payload=[entry.scalar])
            tensor = self.new_tensor(node, (), entry.element)
            self._need_scalar(node, entry.scalar)
        else:
            node = self.new_node("elementwise", op, block)
            read_nests.set_copy_domain(node, entry.sizes)
            node.operands = [Operand(0, scalar=entry.scalar)]
            tensor = self.new_tensor(node, entry.sizes, entry.element)
            read_nests.set_store(tensor)
            self._need_scalar(node, entry.scalar)
        return Ref(tensor, tensor.view)

    def _need_scalar(self, node: Node, scalar: Any) -> None:
        if isinstance(scalar, ir.Value):
            self.need(node, scalar)

    def contiguous(self, value: Any, block: Block, op: Any) -> Ref:
        """The value as contiguous row-major memory; a copy node where its view is not."""
        ref = self.memory(value, block, op)
        return ref if ref.view.contiguous else self.copy(ref, block, op)

    def copy(self, ref: Ref, block: Block, op: Any) -> Ref:
        """A fresh row-major copy of a view."""
        node = self.new_node("elementwise", op, block)
        read_nests.set_copy_domain(node, ref.view.sizes)
        access = Access(ref.view.offset, ref.view.strides).keep(node.kept)
        node.operands = [Operand(0, ref.tensor, access)]
        self.use(node, ref)
        tensor = self.new_tensor(node, ref.view.sizes, ref.tensor.element)
        read_nests.set_store(tensor)
        return Ref(tensor, tensor.view)

    def result(self, value: Any, block: Block, op: Any) -> Any:
        """A terminator operand: a Ref, or the scalar value."""
        if is_tensor(value):
            ref = self.memory(value, block, op)
            if ref.tensor.block is not block:
                block.outer_reads.append(ref)
            for size in (ref.view.offset, *ref.view.sizes, *ref.view.strides):
                for leaf in sizes.leaves(size):
                    self._result_need(leaf.value, block)
            return ref
        value = self.resolve(value)
        if value in self.sizes:
            for leaf in sizes.leaves(self.sizes[value]):
                self._result_need(leaf.value, block)
        self._result_need(value, block)
        return value

    def _result_need(self, value: Any, block: Block) -> None:
        maker = self.makers.get(self.resolve(value))
        if maker is not None:
            (block.result_needs if maker.block is block else block.outer_needs).append(maker)

    def close(self, node: Node, inner: Block, own: Sequence[Block]) -> None:
        """Whatever a nested block reads from outside, its control node reads."""
        for ref in inner.outer_reads:
            if ref.tensor.block not in own:
                self.use(node, ref)
        for maker in inner.outer_needs:
            if maker.block is node.block:
                node.needs.append(maker)
            elif maker.block not in own:
                node.block.outer_needs.append(maker)

    # Shapes.

    def mixed(self, static: Sequence[int], values: Any) -> list[Size]:
        """Static numbers with the dynamic ones filled in from an iterator of values."""
        return [self.size_of(next(values)) if number == DYNAMIC else number for number in static]

    def slice_parts(self, op: Any, first: int, small_type: Any) -> tuple[list[Size], list[Size], list[Size], list[int]]:
        """Offsets, sizes, steps and dropped dimensions of an extract_slice or insert_slice."""
        values = iter(list(op.operands)[first:])
        offsets = self.mixed(list(op.attributes["static_offsets"]), values)
        extents = self.mixed(list(op.attributes["static_sizes"]), values)
        steps = self.mixed(list(op.attributes["static_strides"]), values)
        small = list(ir.RankedTensorType(small_type).shape)
        dropped: list[int] = []
        kept = 0
        static = list(op.attributes["static_sizes"])
        for d, extent in enumerate(static):
            left = len(static) - d
            fits = kept < len(small) and (small[kept] == extent or (extent == DYNAMIC and small[kept] < 0))
            if fits and not (extent == 1 and left > len(small) - kept):
                kept += 1
            else:
                dropped.append(d)
        return offsets, extents, steps, dropped

    def _scalar(self, op: Any, block: Block) -> None:
        """Scalar code: index arithmetic becomes a size, the rest is kept for the driver."""
        if len(op.results) == 1 and op.results[0].type == self.index_type and len(op.operands) == 2:
            known = self._index_arithmetic(op)
            if known is not None:
                self.sizes[op.results[0]] = known
                return
        if any(is_tensor(value) for value in (*op.operands, *op.results)):
            raise unsupported(op)
        node = self.new_node("glue", op, block)
        for value in op.operands:
            self.need(node, value)
        for value in op.results:
            self.makers[value] = node

    def _index_arithmetic(self, op: Any) -> Size | None:
        if op.name not in ("arith.addi", "arith.subi", "arith.muli") and op.name not in sizes.APPLIED:
            return None
        lhs, rhs = (self.size_of(value) for value in op.operands)
        if op.name == "arith.addi":
            return sizes.add(lhs, rhs)
        if op.name == "arith.subi":
            return sizes.add(lhs, sizes.multiply(-1, rhs))
        if op.name == "arith.muli":
            return sizes.multiply(lhs, rhs)
        return sizes.apply(op.name, lhs, rhs)


_TERMINATORS = frozenset({"func.return", "scf.yield"})
_SCALAR_DIALECTS = frozenset({"arith", "math", "index", "affine"})
_HANDLERS: dict[str, Callable[[Reader, Any, Block], None]] = {
    **read_values.HANDLERS,
    **read_views.HANDLERS,
    "linalg.generic": read_nests.read_generic,
    "scf.for": read_control.read_for,
    "scf.while": read_control.read_while,
    "scf.if": read_control.read_if,
}
