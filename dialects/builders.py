"""What lowering facets build with: `Lowering` for linalg on tensors, `Scalars` for the code inside.

A facet never imports MLIR; it is handed one of these. Values inside `Scalars` are in compute types: `i1`
for bool, signless integers (ask `dtype.kind` for signedness) and, for float16 and bfloat16, float32: the
result is rounded once per op, as NumPy does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from mlir import ir

from phalanx.dialects import dtypes
from phalanx.dialects.attributes import encode_array
from phalanx.dialects.aval import Aval
from phalanx.dialects.dims import Dim, Size
from phalanx.dialects.dtypes import DType
from phalanx.dialects.elements import element
from phalanx.dialects.records import record
from phalanx.dialects.types import compute_type, storage_tensor_type, storage_type

# One entry of an indexing map: a loop number, a constant ("c", value), scale*d + offset ("d", loop, scale, offset), or a sum
# of scaled loops ("sum", (loop, scale), ...).
MapEntry = Any


@record
class Lowered:
    """A tensor on the lowered side: its SSA value (storage type) and what the px stage knew of it."""

    value: ir.Value
    aval: Aval
    #: the one value of every element, where it is a constant; readers put it into their code
    splat: Any = None


def _is_half(dtype: DType) -> bool:
    return dtype.is_float and dtype.bits == 16


def compute_dtype(dtype: DType) -> DType:
    """The dtype scalar code computes `dtype` in: float32 for the 16-bit floats."""
    return dtypes.float32 if _is_half(dtype) else dtype


class Scalars:
    """Builds scalar arith and math ops at the current insertion point."""

    def __init__(self, lowering: Lowering) -> None:
        self.lowering = lowering

    def op(self, name: str, operands: Sequence[ir.Value], result: ir.Type,
           attributes: dict[str, ir.Attribute] | None = None) -> ir.Value:
        """Any one-result op by its full name."""
        made = ir.Operation.create(name, results=[result], operands=list(operands), attributes=attributes)
        return made.result

    def arith(self, name: str, *operands: ir.Value, fastmath: str = "") -> ir.Value:
        """`arith.<name>` whose result has the first operand's type."""
        attributes = None
        if fastmath:
            attributes = {"fastmath": ir.Attribute.parse(f"#arith.fastmath<{fastmath}>")}
        return self.op(f"arith.{name}", operands, operands[0].type, attributes)

    def math(self, name: str, *operands: ir.Value) -> ir.Value:
        """`math.<name>` whose result has the first operand's type."""
        return self.op(f"math.{name}", operands, operands[0].type)

    _CMPF = ("false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord",
             "ueq", "ugt", "uge", "ult", "ule", "une", "uno", "true")
    _CMPI = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")

    def cmpf(self, predicate: str, lhs: ir.Value, rhs: ir.Value) -> ir.Value:
        return self._compare("cmpf", self._CMPF.index(predicate), lhs, rhs)

    def cmpi(self, predicate: str, lhs: ir.Value, rhs: ir.Value) -> ir.Value:
        return self._compare("cmpi", self._CMPI.index(predicate), lhs, rhs)

    def _compare(self, name: str, predicate: int, lhs: ir.Value, rhs: ir.Value) -> ir.Value:
        attribute = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), predicate)
        return self.op(f"arith.{name}", [lhs, rhs], ir.IntegerType.get_signless(1), {"predicate": attribute})

    def compare(self, relation: str, lhs: ir.Value, rhs: ir.Value, dtype: DType) -> ir.Value:
        """`eq ne lt le gt ge` on values of `dtype`, NaN unequal to everything."""
        if dtype.is_float:
            return self.cmpf(("u" if relation == "ne" else "o") + relation, lhs, rhs)
        if relation in ("eq", "ne"):
            return self.cmpi(relation, lhs, rhs)
        return self.cmpi(("s" if dtype.kind == "i" else "u") + relation, lhs, rhs)

    def select(self, condition: ir.Value, yes: ir.Value, no: ir.Value) -> ir.Value:
        return self.op("arith.select", [condition, yes, no], yes.type)

    def constant(self, value: Any, dtype: DType) -> ir.Value:
        """A constant in the compute type of `dtype`."""
        return self.typed_constant(value, compute_type(compute_dtype(dtype)))

    def typed_constant(self, value: Any, kind: ir.Type) -> ir.Value:
        """A constant of an MLIR scalar type; integers wrap into its width."""
        if isinstance(kind, ir.IntegerType):
            number = int(value) & ((1 << kind.width) - 1)
            signed = number - (1 << kind.width) if number >> (kind.width - 1) and kind.width > 1 else number
            attribute: ir.Attribute = ir.IntegerAttr.get(kind, signed)
        elif isinstance(kind, ir.IndexType):
            attribute = ir.IntegerAttr.get(kind, int(value))
        else:
            attribute = ir.FloatAttr.get(kind, float(value), loc=ir.Location.unknown())
        return self.op("arith.constant", [], kind, {"value": attribute})

    def like(self, value: Any, model: ir.Value) -> ir.Value:
        """A constant of the type of `model`."""
        return self.typed_constant(value, model.type)

    def index_constant(self, value: int) -> ir.Value:
        return self.typed_constant(value, ir.IndexType.get())

    def is_nan(self, value: ir.Value) -> ir.Value:
        return self.cmpf("uno", value, value)

    # Between storage, compute and other dtypes.
    def load(self, value: ir.Value, dtype: DType) -> ir.Value:
        """From the storage type to the compute type."""
        if dtype.is_bool:
            return self.cmpi("ne", value, self.like(0, value))
        if _is_half(dtype):
            return self.op("arith.extf", [value], ir.F32Type.get())
        return value

    def store(self, value: ir.Value, dtype: DType) -> ir.Value:
        """From the compute type to the storage type."""
        if dtype.is_bool:
            return self.op("arith.extui", [value], storage_type(dtype))
        if _is_half(dtype):
            return self.op("arith.truncf", [value], storage_type(dtype))
        return value

    def convert(self, value: ir.Value, source: DType, target: DType) -> ir.Value:
        """A compute value of `source` as a compute value of `target`.

        Float to integer truncates, NaN gives 0 and out-of-range values saturate (Nx's rule); integers wrap.
        """
        if source is target:
            return value
        wide, kind = compute_dtype(target), compute_type(compute_dtype(target))
        if target.is_bool:
            zero = self.like(0, value)
            return self.cmpf("une", value, zero) if source.is_float else self.cmpi("ne", value, zero)
        if target.is_float:
            if source.is_float:
                return self._resize_float(value, kind)
            if source.kind in "ub":
                return self.op("arith.uitofp", [value], kind)
            return self.op("arith.sitofp", [value], kind)
        if source.is_float:
            return self._saturate(value, wide, kind)
        width, own = ir.IntegerType(kind).width, ir.IntegerType(value.type).width
        if width == own:
            return value
        if width < own:
            return self.op("arith.trunci", [value], kind)
        return self.op("arith.extsi" if source.kind == "i" else "arith.extui", [value], kind)

    def _resize_float(self, value: ir.Value, kind: ir.Type) -> ir.Value:
        if value.type == kind:
            return value
        return self.op("arith.extf" if str(kind) == "f64" else "arith.truncf", [value], kind)

    def _saturate(self, value: ir.Value, target: DType, kind: ir.Type) -> ir.Value:
        bits = ir.IntegerType(kind).width
        signed = target.kind == "i"
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        below = self.cmpf("ole", value, self.like(float(low), value))
        above = self.cmpf("oge", value, self.like(float(high + 1), value))
        # Values outside the range are poison in fptosi, so a harmless one stands in for them.
        usable = self.arith("andi", self.cmpf("ogt", value, self.like(float(low), value)),
                            self.cmpf("olt", value, self.like(float(high + 1), value)))
        safe = self.select(usable, value, self.like(0.0, value))
        inside = self.op("arith.fptosi" if signed else "arith.fptoui", [safe], kind)
        inside = self.select(above, self.typed_constant(high, kind), inside)
        return self.select(below, self.typed_constant(low, kind), inside)

    def bitcast(self, value: ir.Value, target: DType) -> ir.Value:
        """Reinterpret a storage value of equal width."""
        kind = storage_type(target)
        return value if value.type == kind else self.op("arith.bitcast", [value], kind)

    def loop_index(self, loop: int) -> ir.Value:
        """`linalg.index`: the position in loop `loop`."""
        attribute = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), loop)
        return self.op("linalg.index", [], ir.IndexType.get(), {"dim": attribute})

    def index_to(self, value: ir.Value, dtype: DType) -> ir.Value:
        """An index as a compute value of `dtype`."""
        if dtype.is_float:
            whole = self.op("arith.index_cast", [value], ir.IntegerType.get_signless(64))
            return self.convert(whole, dtypes.int64, dtype)
        cast = self.op("arith.index_cast", [value], ir.IntegerType.get_signless(64))
        return self.convert(cast, dtypes.int64, dtype)

    def to_index(self, value: ir.Value, dtype: DType) -> ir.Value:
        """An integer compute value as an index (sign- or zero-extended by its dtype)."""
        name = "arith.index_castui" if dtype.kind == "u" else "arith.index_cast"
        return self.op(name, [value], ir.IndexType.get())

    def extract(self, tensor: Lowered, indices: Sequence[ir.Value]) -> ir.Value:
        """One element of a tensor, in its compute type (a gather when used inside a generic)."""
        raw = self.op("tensor.extract", [tensor.value, *indices], storage_type(tensor.aval.dtype))
        return self.load(raw, tensor.aval.dtype)

    def element(self, tensor: Lowered, indices: Sequence[ir.Value]) -> ir.Value:
        """`extract`, but what cheap elementwise ops make of integers is made here, from their operands."""
        return self.load(element(self, tensor.value, indices), tensor.aval.dtype)


Body = Callable[..., Any]


class Lowering:
    """Builds linalg on tensors at the current insertion point; sizes come from `sizes`, never from tensor.dim."""

    def __init__(self, sizes: Callable[[Size], ir.Value]) -> None:
        self._sizes = sizes
        self.scalars = Scalars(self)
        # Of the context this works in; a large program has thousands of nests and a dozen kinds of them.
        self._layouts: dict[tuple[Any, ...], dict[str, ir.Attribute]] = {}
        #: builds a call of host code; set by the conversion, which owns the module
        self.host_call: Callable[[int, Sequence[Lowered], Sequence[Aval]], list[Lowered]] | None = None

    def size(self, size: Size) -> ir.Value:
        """A size as an index value."""
        return self._sizes(size) if isinstance(size, Dim) else self.scalars.index_constant(size)

    def dynamic_sizes(self, aval: Aval) -> list[ir.Value]:
        return [self.size(s) for s in aval.shape if isinstance(s, Dim)]

    def empty(self, aval: Aval) -> ir.Value:
        kind = storage_tensor_type(aval.shape, aval.dtype)
        return ir.Operation.create("tensor.empty", results=[kind], operands=self.dynamic_sizes(aval)).result

    def uninitialised(self, aval: Aval) -> Lowered:
        """A tensor whose elements are still to be written."""
        return Lowered(self.empty(aval), aval)

    def wrap(self, value: ir.Value, aval: Aval) -> Lowered:
        """An SSA value in the storage type of `aval`, as loops hand it to their bodies."""
        return Lowered(value, aval)

    def insert_element(self, value: ir.Value, into: Lowered, position: Sequence[ir.Value]) -> ir.Value:
        """`tensor.insert` of a compute value; the tensor after it."""
        stored = self.scalars.store(value, into.aval.dtype)
        return self.scalars.op("tensor.insert", [stored, into.value, *position], into.value.type)

    def fill(self, aval: Aval, value: Any) -> Lowered:
        """A tensor of one value: a Python number, or a storage scalar SSA value."""
        splat = None if isinstance(value, ir.Value) else value
        if splat is not None:
            value = self.storage_constant(value, aval.dtype)
        out = self.empty(aval)
        made = ir.Operation.create(
            "linalg.fill", results=[out.type], operands=[value, out],
            attributes={"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1])}, regions=1)
        block = made.regions[0].blocks.append(value.type, value.type)
        with ir.InsertionPoint(block):
            ir.Operation.create("linalg.yield", operands=[block.arguments[0]])
        return Lowered(made.result, aval)

    def dense(self, array: np.ndarray[Any, Any], result: Aval) -> Lowered:
        """A constant tensor written out, whatever its elements."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        if array.dtype.kind in "bu":  # memory holds bytes for bools and signless integers
            array = array.view(np.dtype(f"i{array.itemsize}"))
        kind = storage_tensor_type(result.shape, result.dtype)
        return Lowered(self.scalars.op("arith.constant", [], kind, {"value": encode_array(array)}), result)

    def storage_constant(self, value: Any, dtype: DType) -> ir.Value:
        return self.scalars.typed_constant(value, storage_type(dtype))

    def generic(self, inputs: Sequence[tuple[Lowered, Sequence[MapEntry]]], outputs: Sequence[Aval], body: Body, *,
                loops: int | None = None, reductions: Sequence[int] = (),
                output_maps: Sequence[Sequence[MapEntry]] | None = None,
                inits: Sequence[Lowered] | None = None, kind: str | None = None,
                raw: bool = False) -> list[Lowered]:
        """One linalg.generic.

        `body(*scalars)` gets the inputs (then the running outputs, when `inits` is given) in compute types
        and returns the results in compute types; with `raw` both are storage types. A map lists, per axis of
        the tensor, a loop number, `("c", constant)`, `("d", loop, scale, offset)` or `("sum", (loop, scale), ...)`.
        """
        loops = len(outputs[0].shape) if loops is None else loops
        read = [(i, m) for i, m in inputs if i.splat is None]
        maps = [m for _, m in read]
        maps += list(output_maps) if output_maps is not None else [range(loops)] * len(outputs)
        outs = [i.value for i in inits] if inits is not None else [self.empty(a) for a in outputs]
        attributes = dict(self._layout(loops, tuple(reductions), tuple(map(tuple, maps)), len(outs)))
        if kind:
            attributes["px.kind"] = ir.StringAttr.get(kind)
        made = ir.Operation.create("linalg.generic", results=[o.type for o in outs],
                                   operands=[i.value for i, _ in read] + outs, attributes=attributes, regions=1)
        block = made.regions[0].blocks.append(*[storage_type(i.aval.dtype) for i, _ in read],
                                              *[storage_type(a.dtype) for a in outputs])
        with ir.InsertionPoint(block):
            arguments = iter(block.arguments)
            values = [self._element(i, arguments, raw) for i, _ in inputs]
            if inits is not None:
                values += [v if raw else self.scalars.load(v, a.dtype) for v, a in zip(arguments, outputs, strict=True)]
            found = body(*values)
            found = list(found) if isinstance(found, (tuple, list)) else [found]
            if not raw:
                found = [self.scalars.store(v, a.dtype) for v, a in zip(found, outputs, strict=True)]
            ir.Operation.create("linalg.yield", operands=found)
        return [Lowered(r, a) for r, a in zip(made.results, outputs, strict=True)]

    def _element(self, source: Lowered, arguments: Iterator[ir.Value], raw: bool) -> ir.Value:
        """What the body sees of one input: a constant for splats, else the next block argument."""
        dtype = source.aval.dtype
        if source.splat is not None:
            return (self.storage_constant(source.splat, dtype) if raw
                    else self.scalars.constant(source.splat, dtype))
        value = next(arguments)
        return value if raw else self.scalars.load(value, dtype)

    def _layout(self, loops: int, reductions: tuple[int, ...], maps: tuple[tuple[MapEntry, ...], ...], outs: int,
                ) -> dict[str, ir.Attribute]:
        """What a generic says of its loops and of how its operands are read; the last `outs` are outputs."""
        key = loops, reductions, maps, outs
        known = self._layouts.get(key)
        if known is None:
            kinds = ["reduction" if i in reductions else "parallel" for i in range(loops)]
            known = self._layouts[key] = {
                "indexing_maps": ir.ArrayAttr.get([ir.AffineMapAttr.get(self._map(loops, m)) for m in maps]),
                "iterator_types": ir.ArrayAttr.get([ir.Attribute.parse(f"#linalg.iterator_type<{kind}>") for kind in kinds]),
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(maps) - outs, outs]),
            }
        return known

    def _map(self, loops: int, entries: Sequence[MapEntry]) -> ir.AffineMap:
        return ir.AffineMap.get(loops, 0, [_affine(e) for e in entries])

    def broadcast_map(self, operand: Aval, result: Aval) -> list[MapEntry]:
        """The map that reads `operand` under NumPy broadcasting into `result`."""
        offset = result.ndim - operand.ndim
        return [("c", 0) if _is_one(size) and not _is_one(result.shape[offset + axis]) else offset + axis
                for axis, size in enumerate(operand.shape)]

    def elementwise(self, inputs: Sequence[Lowered], result: Aval, body: Body, *, raw: bool = False) -> Lowered:
        """A generic over every element of `result`, operands broadcast."""
        return self.generic([(i, self.broadcast_map(i.aval, result)) for i in inputs], [result], body, raw=raw)[0]

    # Views and moves.
    def slice(self, source: Lowered, offsets: Sequence[Any], result: Aval, strides: Sequence[int] | None = None,
              ) -> Lowered:
        """`tensor.extract_slice`; offsets are sizes (int or Dim) or index values."""
        strides = list(strides or [1] * source.aval.ndim)
        return Lowered(self._subset("tensor.extract_slice", [source.value], offsets, result, strides,
                                    storage_tensor_type(result.shape, result.dtype)), result)

    def insert(self, source: Lowered, into: Lowered, offsets: Sequence[Any], strides: Sequence[int] | None = None,
               ) -> Lowered:
        """`tensor.insert_slice` of `source` into `into`."""
        strides = list(strides or [1] * into.aval.ndim)
        return Lowered(self._subset("tensor.insert_slice", [source.value, into.value], offsets, source.aval, strides,
                                    into.value.type), into.aval)

    def _subset(self, name: str, tensors: list[ir.Value], offsets: Sequence[Any], window: Aval,
                strides: list[int], result: ir.Type) -> ir.Value:
        static_offsets, dynamic_offsets = self._mixed(offsets)
        static_sizes, dynamic_sizes = self._mixed(window.shape)
        operands = tensors + dynamic_offsets + dynamic_sizes
        array = ir.DenseI64ArrayAttr.get
        return ir.Operation.create(name, results=[result], operands=operands, attributes={
            "static_offsets": array(static_offsets), "static_sizes": array(static_sizes),
            "static_strides": array(strides),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get(
                [*([1] * len(tensors)), len(dynamic_offsets), len(dynamic_sizes), 0]),
        }).result

    def _mixed(self, sizes: Sequence[Any]) -> tuple[list[int], list[ir.Value]]:
        dynamic = ir.ShapedType.get_dynamic_size()
        static: list[int] = []
        values: list[ir.Value] = []
        for size in sizes:
            if isinstance(size, int):
                static.append(size)
            else:
                static.append(dynamic)
                values.append(self.size(size) if isinstance(size, Dim) else size)
        return static, values

    def collapse(self, source: Lowered, groups: Sequence[Sequence[int]], result: Aval) -> Lowered:
        return Lowered(ir.Operation.create(
            "tensor.collapse_shape", results=[storage_tensor_type(result.shape, result.dtype)],
            operands=[source.value], attributes={"reassociation": _groups(groups)}).result, result)

    def expand(self, source: Lowered, groups: Sequence[Sequence[int]], result: Aval) -> Lowered:
        static, values = self._mixed(result.shape)
        return Lowered(ir.Operation.create(
            "tensor.expand_shape", results=[storage_tensor_type(result.shape, result.dtype)],
            operands=[source.value, *values],
            attributes={"reassociation": _groups(groups),
                        "static_output_shape": ir.DenseI64ArrayAttr.get(static)}).result, result)

    def reshape(self, source: Lowered, result: Aval) -> Lowered:
        """Any reshape, as a collapse to rank 1 and an expansion."""
        if source.aval.shape == result.shape:
            return source
        flat = source
        if source.aval.ndim != 1:
            size = source.aval.size
            if source.aval.ndim == 0:
                flat = self.expand(source, [], Aval((1,), result.dtype))
            else:
                flat = self.collapse(source, [list(range(source.aval.ndim))], Aval((size,), result.dtype))
        if result.ndim == 1:
            return Lowered(flat.value, result)
        if result.ndim == 0:
            return self.collapse(flat, [], result)
        return self.expand(flat, [list(range(result.ndim))], result)

    def scalar_of(self, tensor: Lowered) -> ir.Value:
        """The element of a rank-0 tensor, in its compute type."""
        return self.scalars.extract(tensor, [])

    def for_loop(self, lower: ir.Value, upper: ir.Value, inits: Sequence[ir.Value],
                 body: Callable[..., Sequence[ir.Value]], *, opaque: bool = False, parallel: bool = False,
                 ) -> list[ir.Value]:
        """An scf.for with step 1; `opaque` marks the outermost loop of a nest of pure scalar code.

        `parallel` says of an opaque loop that no iteration reads or writes what another one writes.
        """
        step = self.scalars.index_constant(1)
        marks = (("px.opaque", opaque), ("px.parallel", parallel))
        attributes: dict[str, ir.Attribute] = {name: ir.UnitAttr.get() for name, given in marks if given}
        made = ir.Operation.create("scf.for", results=[i.type for i in inits],
                                   operands=[lower, upper, step, *inits], attributes=attributes, regions=1)
        block = made.regions[0].blocks.append(ir.IndexType.get(), *[i.type for i in inits])
        with ir.InsertionPoint(block):
            found = body(*block.arguments)
            ir.Operation.create("scf.yield", operands=list(found))
        return list(made.results)


def _affine(entry: MapEntry) -> ir.AffineExpr:
    if isinstance(entry, int):
        return ir.AffineDimExpr.get(entry)
    if entry[0] == "c":
        return ir.AffineConstantExpr.get(entry[1])
    if entry[0] == "sum":
        return sum((ir.AffineDimExpr.get(loop) * scale for loop, scale in entry[1:]), ir.AffineConstantExpr.get(0))
    _, loop, scale, offset = entry
    return ir.AffineDimExpr.get(loop) * scale + offset


def _is_one(size: Size) -> bool:
    return isinstance(size, int) and size == 1


def _groups(groups: Sequence[Sequence[int]]) -> ir.Attribute:
    i64 = ir.IntegerType.get_signless(64)
    return ir.ArrayAttr.get([ir.ArrayAttr.get([ir.IntegerAttr.get(i64, g) for g in group]) for group in groups])
