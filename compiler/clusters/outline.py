"""Cluster functions: typed bare pointers in and out, the cluster's ops on tensors in between.

Identical clusters (same text, whatever their lines) become one function; `twins.py` tells most of them unwritten.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.clusters import build, chain
from phalanx.compiler.clusters.form import line_of
from phalanx.compiler.clusters.model import Cluster, Node, Operand, Place, Ref, Tensor
from phalanx.compiler.clusters.read import Reader
from phalanx.compiler.clusters.sizes import Size, add, row_major
from phalanx.compiler.clusters.twins import twin_key
from phalanx.compiler.clusters.view import Access, View

Scalar = tuple[str, Any]  # ("size", Size) or ("value", value of the original function)
Output = tuple[Tensor, Place]

_SHORT = {"elementwise": "ew", "reduction": "red", "contraction": "con", "chain": "chain", "opaque": "opaque", "copy": "copy",
          "pack": "pack"}
_PLACEHOLDER = "px_cluster"


class Input:
    """One pointer a cluster reads: a tensor under an access, or (gather) under a view."""

    def __init__(self, tensor: Tensor, offset: Size) -> None:
        self.tensor = tensor
        self.offset = offset
        self.argument: Any = None


class Outliner:
    """Makes cluster functions in a module and remembers them by structure."""

    def __init__(self, module: Any, reader: Reader) -> None:
        self.module = module
        self.reader = reader
        self.known: dict[str, str] = {}
        self.twins: dict[Any, str] = {}
        self._projections: dict[tuple[int, tuple[int, ...]], Any] = {}
        self.iterator = {kind: ir.Attribute.parse(f"#linalg.iterator_type<{kind}>") for kind in ("parallel", "reduction")}

    def projection(self, rank: int, loops: Sequence[int]) -> Any:
        """The map from `rank` loops to some of them."""
        key = (rank, tuple(loops))
        known = self._projections.get(key)
        if known is None:
            results = [ir.AffineExpr.get_dim(d) for d in loops]
            known = self._projections[key] = ir.AffineMapAttr.get(ir.AffineMap.get(rank, 0, results))
        return known

    def finish(self, body: Body, kind: str, location: Any) -> str:
        """The name of the function with this body: a new one, or an older twin (then the body is erased)."""
        text = body.function.get_asm(use_local_scope=True, assume_verified=True)
        name = self.known.get(text)
        if name is not None:
            body.function.erase()
            return name
        maths = sorted(set(re.findall(r"\bmath\.(\w+)", text)))[:3]
        name = "_".join([_SHORT[kind], *maths, f"L{line_of(location)}", str(len(self.known))])
        self.known[text] = name
        body.function.attributes["sym_name"] = ir.StringAttr.get(name)
        return name


class Body:
    """A cluster function under construction."""

    def __init__(self, outliner: Outliner, kind: str, location: Any, n_in: Sequence[Any], n_out: Sequence[Any]) -> None:
        self.reader = outliner.reader
        self.location = location
        pointers = [build.pointer_type(element) for element in (*n_in, *n_out)]
        with ir.InsertionPoint(outliner.module.body), location:
            self.function = build.create(
                "func.func",
                attributes={
                    "sym_name": ir.StringAttr.get(_PLACEHOLDER),
                    "function_type": ir.TypeAttr.get(ir.FunctionType.get(pointers, [])),
                    "sym_visibility": ir.StringAttr.get("private"),
                    "px.cluster": ir.StringAttr.get(kind),
                    "px.outs": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), len(n_out)),
                },
                regions=1,
            )
        self.block = self.function.regions[0].blocks.append(*pointers, arg_locs=[location] * len(pointers))
        self.ins = list(self.block.arguments)[: len(n_in)]
        self.outs = list(self.block.arguments)[len(n_in) :]
        self.scalars: list[Scalar] = []
        self._scalar_arguments: dict[Any, Any] = {}
        self._constants: dict[Any, Any] = {}

    # Scalars.

    def _argument(self, scalar: Scalar, type_: Any) -> Any:
        known = self._scalar_arguments.get(scalar)
        if known is None:
            known = self.block.add_argument(type_, self.location)
            self._scalar_arguments[scalar] = known
            self.scalars.append(scalar)
        return known

    def constant(self, attribute: Any) -> Any:
        known = self._constants.get(attribute)
        if known is None:
            with ir.InsertionPoint.at_block_begin(self.block), self.location:
                known = build.create("arith.constant", [attribute.type], [], {"value": attribute}).result
            self._constants[attribute] = known
        return known

    def size(self, size: Size) -> Any:
        """An index value inside the function."""
        if isinstance(size, int):
            return self.constant(ir.IntegerAttr.get(self.reader.index_type, size))
        return self._argument(("size", size), self.reader.index_type)

    def number(self, size: Size) -> Any:
        """An int when known, else an index value."""
        return size if isinstance(size, int) else self.size(size)

    def scalar(self, value: Any) -> Any:
        """A scalar of the original function: a constant, a size, or an argument."""
        value = self.reader.resolve(value)
        if value in self.reader.constants:
            return self.constant(self.reader.constants[value])
        if value in self.reader.sizes:
            return self.size(self.reader.sizes[value])
        return self._argument(("value", value), value.type)

    def literal(self, scalar: Any) -> Any:
        """The scalar of a fill: an attribute or a value."""
        return self.scalar(scalar) if isinstance(scalar, ir.Value) else self.constant(scalar)

    # Memory.

    def view(self, pointer: Any, view: View, element: Any) -> Any:
        view = view.tidy
        return build.reinterpret(
            pointer, view, element, [self.number(n) for n in view.sizes], [self.number(n) for n in view.strides]
        )

    def empty(self, extents: Sequence[Size], element: Any) -> Any:
        type_ = ir.RankedTensorType.get(build.static_shape(extents), element)
        return build.create("tensor.empty", [type_], [self.size(n) for n in extents if not isinstance(n, int)]).result

    def close(self, aliases: dict[int, int], inout: Sequence[int] = ()) -> None:
        """Add the workspace pointer, the return, the type and the argument attributes."""
        workspace = build.pointer_type(ir.IntegerType.get_signless(8))
        self.block.add_argument(workspace, self.location)
        with ir.InsertionPoint(self.block):
            build.create("func.return")
        types = [argument.type for argument in self.block.arguments]
        self.function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(types, []))
        attributes: list[dict[str, Any]] = [{} for _ in types]
        for k in range(len(self.outs)):
            slot = attributes[len(self.ins) + k]
            if k in aliases:
                slot["px.alias"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), aliases[k])
            else:
                slot["llvm.noalias"] = ir.UnitAttr.get()
            if k in inout:
                slot["px.inout"] = ir.UnitAttr.get()
        self.function.attributes["arg_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get(slot) for slot in attributes])


class NestFunction:
    """The function of an elementwise, reduction, contraction or chain cluster (or of a copy).

    A chain of rows with a named length has one more pointer behind its outputs, to `scratch`: rows of the first product's
    result. Where their length is known they are part of the workspace that its schedule asks for.
    """

    def __init__(self, outliner: Outliner, cluster: Cluster, outputs: Sequence[Output], kind: str) -> None:
        self.outliner = outliner
        self.cluster = cluster
        self.outputs = outputs
        self.inputs: dict[Any, Input] = {}
        self._collect()
        self.scratch = self._scratch() if kind == "chain" else None
        self.scalars: list[Scalar] = []  # arguments behind the pointers, known once it is written
        self.values: dict[Tensor, Any] = {}  # values made in this cluster
        self._loaded: dict[Any, Any] = {}

    def write(self, kind: str, aliases: dict[int, int]) -> str:
        """The name of the function, which is written unless an equal one is there."""
        key = twin_key(self.outliner.reader, self.cluster, self.inputs, self.outputs, aliases)
        known = self.outliner.twins.get(key)
        if known is not None:
            return known
        written = [tensor.element for tensor, _ in self.outputs]
        self.body = Body(
            self.outliner,
            kind,
            self.cluster.nodes[0].location,
            [item.tensor.element for item in self.inputs.values()],
            written if self.scratch is None else [*written, self.scratch.element],
        )
        for item, argument in zip(self.inputs.values(), self.body.ins, strict=True):
            item.argument = argument
        self._fill_in(aliases)
        self.scalars = self.body.scalars
        name = self.outliner.finish(self.body, kind, ir.Location.current)
        if key is not None:
            self.outliner.twins[key] = name
        return name

    # Arguments.

    def _scratch(self) -> Tensor | None:
        """Memory for the rows of a chain that exist at a time."""
        first = self.cluster.nodes[0]
        columns = chain.columns(self.cluster)
        if isinstance(columns, int):
            return None
        extents = (chain.SCRATCH_ROWS, columns)
        return Tensor(extents, first.outputs[0].element, self.cluster.block, strides=row_major(extents))

    def _inside(self, tensor: Tensor | None) -> bool:
        return tensor is not None and tensor.unit is self.cluster

    def _collect(self) -> None:
        for node in self.cluster.nodes:
            for operand in (*node.operands, *node.inits):
                if operand.tensor is not None and not self._inside(operand.tensor):
                    assert operand.access is not None
                    key = (operand.tensor, operand.access)
                    self.inputs.setdefault(key, Input(operand.tensor, operand.access.offset))
        for node in self.cluster.nodes:
            for _, ref in node.captured:
                self.inputs.setdefault((ref.tensor, ref.view), Input(ref.tensor, ref.view.offset))
        if self.cluster.panels is not None:
            panels = self.cluster.panels[1]
            self.inputs[panels, panels.view] = Input(panels, 0)

    def aliases(self, place_of: dict[Tensor, Place]) -> dict[int, int]:
        """Outputs that overwrite, element by element, an input at the same address."""
        found: dict[int, int] = {}
        for k, (tensor, place) in enumerate(self.outputs):
            for i, (tensor_in, access) in enumerate(self.inputs):
                home = place_of.get(tensor_in)
                if home is None or home.buffer is not place.buffer or not isinstance(access, Access):
                    continue
                same = add(home.offset, access.offset) == place.offset
                if same and access.steps == tensor.store_at(place.strides).steps and tensor.role != "row":
                    found.setdefault(k, i)
        return found

    # Contents.

    def _fill_in(self, aliases: dict[int, int]) -> None:
        """Views, ops, stores."""
        with ir.InsertionPoint(self.body.block):
            destinations = []
            for (tensor, place), pointer in zip(self.outputs, self.body.outs, strict=False):
                assert tensor.node is not None
                with tensor.node.location:
                    extents = self._loops(tensor)
                    view = View(extents, tensor.store_at(place.strides).steps)
                    destinations.append(self.body.view(pointer, view, tensor.element))
            if self.scratch is not None:
                view = View((chain.SCRATCH_ROWS, chain.columns(self.cluster)), self.scratch.strides)
                self.body.view(self.body.outs[-1], view, self.scratch.element)
                number = len(self.inputs) + len(self.outputs)
                self.body.function.attributes["px.scratch"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), number)
            if self.cluster.panels is not None:
                self._mark_panels(*self.cluster.panels)
            for node in self.cluster.nodes:
                with node.location:
                    self._nest(node)
            for (tensor, _), destination in zip(self.outputs, destinations, strict=True):
                assert tensor.node is not None
                with tensor.node.location:
                    build.materialise(self.values[tensor], destination)
        with self.body.location:
            self.body.close(aliases)

    def _mark_panels(self, matrix: Operand, panels: Tensor) -> None:
        """Say which argument is the matrix, which its panels, and how many elements these may have."""
        number = list(self.inputs).index((matrix.tensor, matrix.access))
        count = panels.sizes[0]
        assert isinstance(count, int)
        self.body.function.attributes["px.panels"] = build.numbers([number, len(self.inputs) - 1, count])

    @staticmethod
    def _loops(tensor: Tensor) -> tuple[Size, ...]:
        assert tensor.node is not None
        return tuple(tensor.node.domain[d] for d in tensor.node.parallel)

    def _load(self, operand: Operand, domain: tuple[Size, ...], every: bool = False) -> tuple[Any, list[int]]:
        """An operand from memory: its tensor value and the loops it depends on (all of them with `every`)."""
        assert operand.tensor is not None and operand.access is not None
        steps = operand.access.steps
        loops = [d for d in range(len(domain)) if steps[d] != 0 or every]
        key = (operand.tensor, operand.access, tuple(loops), domain)
        value = self._loaded.get(key)
        if value is None:
            view = View(tuple(domain[d] for d in loops), tuple(steps[d] for d in loops))
            pointer = self.inputs[(operand.tensor, operand.access)].argument
            value = build.to_tensor(self.body.view(pointer, view, operand.tensor.element))
            self._loaded[key] = value
        return value, loops

    def _gathered(self, ref: Ref) -> Any:
        key = (ref.tensor, ref.view)
        value = self._loaded.get(key)
        if value is None:
            view = View(ref.view.sizes, ref.view.strides)
            value = build.to_tensor(self.body.view(self.inputs[key].argument, view, ref.tensor.element))
            self._loaded[key] = value
        return value

    def _operand(self, node: Node, operand: Operand) -> tuple[Any, list[int]]:
        tensor = operand.tensor
        assert tensor is not None
        if not self._inside(tensor):
            return self._load(operand, node.domain)
        if self.cluster.kind == "chain":
            loops = chain.loops_read(operand, node)
            assert loops is not None
            return self.values[tensor], loops
        everything = list(range(len(node.domain)))
        if tensor.role == "row" and node.domain == self.cluster.domain and self.cluster.reduced is not None:
            everything = list(self.cluster.parallel)
        return self.values[tensor], everything

    def _nest(self, node: Node) -> None:
        rank = len(node.domain)
        mapping: dict[Any, Any] = {}
        for value, ref in node.captured:
            mapping[value] = self._gathered(ref)
        operands = [o for o in node.operands if o.tensor is not None]
        loaded = [self._operand(node, operand) for operand in operands]
        kept_loops = list(node.parallel)
        extents = tuple(node.domain[d] for d in kept_loops)
        starts = [self._start(node, k, extents) for k in range(len(node.outputs))]
        covered = {d for _, loops in loaded for d in loops}
        unsized = [d for d in node.reduced if d not in covered]
        if unsized:  # a reduced loop that no operand depends on still needs its size from one
            shape = tuple(node.domain[d] for d in unsized)
            loaded.append((self.body.empty(shape, node.outputs[0].element), unsized))
        projection = self.outliner.projection
        maps = [projection(rank, loops) for _, loops in loaded] + [projection(rank, kept_loops)] * len(starts)
        kinds = ["reduction" if d in node.reduced else "parallel" for d in range(rank)]
        attributes = {
            "indexing_maps": ir.ArrayAttr.get(maps),
            "iterator_types": ir.ArrayAttr.get([self.outliner.iterator[kind] for kind in kinds]),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(loaded), len(starts)]),
        }
        if node.kind == "contraction":
            attributes["px.kind"] = ir.StringAttr.get("contraction")
        values = [value for value, _ in loaded]
        op = build.create("linalg.generic", [s.type for s in starts], [*values, *starts], attributes, regions=1)
        types = [value.type.element_type for value in (*values, *starts)]
        block = op.regions[0].blocks.append(*types, arg_locs=[node.location] * len(types))
        arguments = list(block.arguments)
        self._scalar_code(node, operands, mapping, block, arguments, len(loaded))
        for tensor, value in zip(node.outputs, op.results, strict=True):
            self.values[tensor] = value

    def _start(self, node: Node, number: int, extents: tuple[Size, ...]) -> Any:
        """The `outs` operand: undefined, a filled tensor, or an initial value from memory."""
        element = node.outputs[number].element
        if not node.inits:
            return self.body.empty(extents, element)
        init = node.inits[number]
        if init.tensor is not None:
            return self._load(init, extents, every=True)[0]
        empty = self.body.empty(extents, element)
        attributes = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1])}
        fill = build.create("linalg.fill", [empty.type], [self.body.literal(init.scalar), empty], attributes, regions=1)
        block = fill.regions[0].blocks.append(element, element, arg_locs=[node.location] * 2)
        with ir.InsertionPoint(block):
            build.create("linalg.yield", [], [block.arguments[0]])
        return fill.result

    def _scalar_code(
        self, node: Node, operands: list[Operand], mapping: dict[Any, Any], block: Any, arguments: list[Any], n_in: int
    ) -> None:
        if node.body is None:
            source = node.operands[0]
            value = self.body.literal(source.scalar) if source.tensor is None else arguments[0]
            with ir.InsertionPoint(block):
                build.create("linalg.yield", [], [value])
            return
        for operand, argument in zip(operands, arguments, strict=False):
            mapping[node.body.arguments[operand.argument]] = argument
        for operand in (*node.operands, *node.inits):
            if operand.tensor is None and operand not in node.inits:
                mapping[node.body.arguments[operand.argument]] = self.body.literal(operand.scalar)
        for init, argument in zip(node.inits, arguments[n_in:], strict=False):
            mapping[node.body.arguments[init.argument]] = argument
        with ir.InsertionPoint(block):
            self._clone(node, node.body, mapping)

    def _clone(self, node: Node, source: Any, mapping: dict[Any, Any]) -> None:
        for value in node.scalars:
            mapping[value] = self.body.scalar(value)
        for view in source.operations:
            op = view.operation
            if op.name == "linalg.index":
                mapping[op.results[0]] = self._index(node, int(op.attributes["dim"]), op)
                continue
            build.copy_op(op, mapping)

    def _index(self, node: Node, dim: int, op: Any) -> Any:
        if dim not in node.kept:
            return self.body.size(0)
        number = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), node.kept.index(dim))
        return build.create("linalg.index", [self.body.reader.index_type], [], {"dim": number}).result


def opaque_function(
    outliner: Outliner, node: Node, inputs: Sequence[tuple[Any, Ref]], inits: Sequence[Ref]
) -> tuple[str, list[Scalar]]:
    """The function of an opaque loop nest: the nest cloned, its carried tensors updated in place."""
    body = Body(
        outliner,
        "opaque",
        node.location,
        [ref.tensor.element for _, ref in inputs],
        [ref.tensor.element for ref in inits],
    )
    mapping: dict[Any, Any] = {}
    with ir.InsertionPoint(body.block), node.location:
        for (value, ref), pointer in zip(inputs, body.ins, strict=True):
            mapping[value] = build.to_tensor(_typed_view(body, pointer, ref, value.type))
        views = []
        positions = [k for k, v in enumerate(node.op.operands) if k >= 3 and isinstance(v.type, ir.RankedTensorType)]
        carried = [node.op.operands[k] for k in positions]
        for value, ref, pointer in zip(carried, inits, body.outs, strict=True):
            views.append(_typed_view(body, pointer, ref, value.type))
        starts = [build.to_tensor(view, writable=True) for view in views]
        for value in node.payload.scalars:
            mapping[value] = body.scalar(value)
        nest = node.op.clone()
        build.remap(nest, mapping)
        for k, start in zip(positions, starts, strict=True):
            nest.operands[k] = start
        del nest.attributes["px.opaque"]
        for k, view in zip(positions, views, strict=True):
            build.materialise(nest.results[k - 3], view)
    with node.location:
        body.close({}, range(len(inits)))
    return outliner.finish(body, "opaque", node.location), body.scalars


def _typed_view(body: Body, pointer: Any, ref: Ref, type_: Any) -> Any:
    """A memref whose static and dynamic sizes are those of the original tensor type."""
    view = ref.view.tidy
    shape = list(ir.RankedTensorType(type_).shape)
    extents = [body.size(size) if n < 0 else n for n, size in zip(shape, view.sizes, strict=True)]
    # The identity layout of a type with `?` has a dynamic stride wherever a later size is dynamic.
    strides = [
        body.size(stride) if view.contiguous and min(shape[d + 1 :], default=0) < 0 else body.number(stride)
        for d, stride in enumerate(view.strides)
    ]
    return build.reinterpret(pointer, view, ref.tensor.element, extents, strides)
