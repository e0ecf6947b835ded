"""convert-px-to-linalg: every px op through its `lower` facet; types become storage types, named sizes arguments.

The driver has no code per op. Functions are rebuilt rather than rewritten, since almost every type changes:
`i1` tensors become `i8`, unsigned integers signless, and each named size an `index` argument at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.pipeline.registry import pass_
from phalanx.dialects import dtypes
from phalanx.dialects.analysis import Avals, dim_names, op_of
from phalanx.dialects.aval import Aval
from phalanx.dialects.builders import Lowered, Lowering
from phalanx.dialects.dims import Dim, Size
from phalanx.dialects.errors import CompileError
from phalanx.dialects.registration import attributes_of
from phalanx.dialects.types import storage_tensor_type

# What later stages want to know of an argument.
_KEPT = frozenset({"px.name", "px.shape", "px.donated", "px.captured"})


@pass_("convert-px-to-linalg", "px operations to linalg on tensors")
def convert_px_to_linalg(module: ir.Module) -> None:
    """Replace every function that works on px tensors by its lowered form."""
    for operation in list(module.body.operations):
        function = operation.operation
        if function.name == "func.func" and len(function.regions[0].blocks):
            with function.location:
                _Converter(module, function).run()


class _Converter:
    """Rebuilds one function."""

    def __init__(self, module: ir.Module, function: ir.Operation) -> None:
        self.module = module
        self.old = function
        self.avals = Avals(function)
        self.names = dim_names(self.avals.arguments)
        self.mapping: dict[ir.Value, ir.Value] = {}
        self.size_values: dict[Size, ir.Value] = {}
        self.lowering = Lowering(self._size)
        self.lowering.host_call = self._host_call

    def run(self) -> None:
        kinds = [storage_tensor_type(a.shape, a.dtype) for a in self.avals.arguments]
        kinds += [ir.IndexType.get()] * len(self.names)
        terminator = self.old.regions[0].blocks[0].operations
        returned = [self._type(v.type) for v in terminator[len(terminator) - 1].operands]
        attributes = {a.name: a.attr for a in _named(self.old.attributes) if a.name not in ("function_type", "arg_attrs")}
        attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kinds, returned))
        if self.names:
            attributes["px.dims"] = ir.ArrayAttr.get([ir.StringAttr.get(n) for n in self.names])
        made = ir.Operation.create("func.func", attributes=attributes, regions=1, loc=self.old.location,
                                   ip=ir.InsertionPoint(self.old))
        self._argument_attributes(made, len(kinds))
        old_block = self.old.regions[0].blocks[0]
        locations = [a.location for a in old_block.arguments] + [self.old.location] * len(self.names)
        block = made.regions[0].blocks.append(*kinds, arg_locs=locations)
        for old, new in zip(old_block.arguments, block.arguments, strict=False):
            self.mapping[old] = new
        for name, value in zip(self.names, list(block.arguments)[len(old_block.arguments):], strict=True):
            self.size_values[Dim.named(name)] = value
        with ir.InsertionPoint(block):
            # Sizes are computed before this constant, so that they dominate everything.
            self.anchor = ir.Operation.create("arith.constant", results=[ir.IndexType.get()], attributes={
                "value": ir.IntegerAttr.get(ir.IndexType.get(), 0)})
            self._operations(old_block)
        self.old.erase()
        if not list(self.anchor.result.uses):
            self.anchor.erase()

    def _argument_attributes(self, made: ir.Operation, count: int) -> None:
        if "arg_attrs" not in self.old.attributes:
            return
        rows = [ir.DictAttr.get({k: v for k, v in _items(ir.DictAttr(row)) if k in _KEPT})
                for row in ir.ArrayAttr(self.old.attributes["arg_attrs"])]
        rows += [ir.DictAttr.get({"px.name": ir.StringAttr.get(n)}) for n in self.names]
        if len(rows) == count:
            made.attributes["arg_attrs"] = ir.ArrayAttr.get(rows)

    # Sizes.
    def _size(self, size: Size) -> ir.Value:
        known = self.size_values.get(size)
        if known is None:
            with ir.InsertionPoint(self.anchor), self.old.location:
                known = self.size_values[size] = self._size_code(size)
        return known

    def _size_code(self, size: Size) -> ir.Value:
        s = self.lowering.scalars
        if not isinstance(size, Dim):
            return s.index_constant(size)
        total: ir.Value | None = None
        for monomial, coefficient in size.terms:
            product: ir.Value | None = None
            factors = [self._atom(atom) for atom in monomial]
            if coefficient != 1 or not factors:
                factors.insert(0, s.index_constant(coefficient))
            for factor in factors:
                product = factor if product is None else s.arith("muli", product, factor)
            assert product is not None
            total = product if total is None else s.arith("addi", total, product)
        assert total is not None
        return total

    def _atom(self, atom: Any) -> ir.Value:
        if isinstance(atom, str):
            return self.size_values[Dim.named(atom)]
        s = self.lowering.scalars
        kind, left, right = atom
        lhs, rhs = self._size(left.simplify()), self._size(right.simplify())
        if kind in ("max", "min"):
            return s.arith(f"{kind}si", lhs, rhs)
        quotient = s.arith("floordivsi", lhs, rhs)
        return quotient if kind == "//" else s.arith("subi", lhs, s.arith("muli", quotient, rhs))

    # Operations.
    def _type(self, kind: ir.Type) -> ir.Type:
        if isinstance(kind, ir.RankedTensorType):
            dtype = dtypes.from_element(str(kind.element_type))
            shape = [kind.get_dim_size(i) if not kind.is_dynamic_dim(i) else ir.ShapedType.get_dynamic_size()
                     for i in range(kind.rank)]
            return ir.RankedTensorType.get(shape, ir.Type.parse(dtype.storage))
        return kind

    def _operations(self, block: ir.Block) -> None:
        for operation in block.operations:
            with operation.operation.location:
                self._operation(operation.operation)

    def _operation(self, operation: ir.Operation) -> None:
        op = op_of(operation)
        if op is not None:
            operands = [Lowered(self.mapping[o], self.avals[o]) for o in operation.operands]
            results = [self.avals[r] for r in operation.results]
            lowered = op.lower(self.lowering, operands, results, attributes_of(op, operation))
            made = lowered if isinstance(lowered, (list, tuple)) else [lowered]
            for result, one in zip(operation.results, made, strict=True):
                self.mapping[result] = one.value
        elif operation.name == "tensor.extract":
            self._extract(operation)
        elif operation.name == "tensor.from_elements":
            self._from_elements(operation)
        else:
            self._rebuild(operation)

    def _extract(self, operation: ir.Operation) -> None:
        source, *indices = operation.operands
        tensor = Lowered(self.mapping[source], self.avals[source])
        self.mapping[operation.result] = self.lowering.scalars.extract(tensor, [self.mapping[i] for i in indices])

    def _from_elements(self, operation: ir.Operation) -> None:
        aval = self.avals[operation.result]
        stored = [self.lowering.scalars.store(self.mapping[o], aval.dtype) for o in operation.operands]
        self.mapping[operation.result] = ir.Operation.create(
            "tensor.from_elements", results=[storage_tensor_type(aval.shape, aval.dtype)], operands=stored).result

    def _rebuild(self, operation: ir.Operation) -> None:
        """Control flow, calls, index arithmetic: the same operation on converted types."""
        if operation.name.split(".")[0] not in ("scf", "func", "arith"):
            raise CompileError(f"convert-px-to-linalg: no rule for {operation.name}")
        made = ir.Operation.create(
            operation.name, results=[self._type(r.type) for r in operation.results],
            operands=[self.mapping[o] for o in operation.operands],
            attributes={a.name: a.attr for a in _named(operation.attributes)}, regions=len(operation.regions))
        for old_region, region in zip(operation.regions, made.regions, strict=True):
            for old_block in old_region.blocks:
                arguments = list(old_block.arguments)
                block = region.blocks.append(*[self._type(a.type) for a in arguments],
                                             arg_locs=[a.location for a in arguments])
                self.mapping.update(zip(arguments, block.arguments, strict=True))
                with ir.InsertionPoint(block):
                    self._operations(old_block)
        self.mapping.update(zip(operation.results, made.results, strict=True))

    def _host_call(self, site: int, operands: Sequence[Lowered], results: Sequence[Aval]) -> list[Lowered]:
        """A call of host code, declared once per call site."""
        name = f"px_host_{site}"
        kinds = [storage_tensor_type(a.shape, a.dtype) for a in results]
        function_type = ir.FunctionType.get([o.value.type for o in operands], kinds)
        ir.Operation.create(
            "func.func", regions=1, ip=ir.InsertionPoint.at_block_begin(self.module.body),
            attributes={"sym_name": ir.StringAttr.get(name), "function_type": ir.TypeAttr.get(function_type),
                        "sym_visibility": ir.StringAttr.get("private"),
                        "px.host": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), site)})
        call = ir.Operation.create("func.call", results=kinds, operands=[o.value for o in operands],
                                   attributes={"callee": ir.FlatSymbolRefAttr.get(name)})
        return [Lowered(r, a) for r, a in zip(call.results, results, strict=True)]


def _items(attribute: ir.DictAttr) -> list[tuple[str, ir.Attribute]]:
    return [(item.name, item.attr) for item in attribute]


def _named(attributes: ir.OpAttributeMap) -> list[ir.NamedAttribute]:
    return [attributes[i] for i in range(len(attributes))]  # iteration over the map gives names only
