"""Constant tables in the module: one private memref.global, read by index."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from mlir import ir
from mlir.dialects import arith, memref, vector

from phalanx.compiler.mathlib.emitter import Emitter, Value, element_type

_SYMBOL_TABLES = ("builtin.module", "gpu.module")


def load_rows(emitter: Emitter, name: str, rows: Sequence[Sequence[float]], row: Value) -> list[Value]:
    """The columns of `rows[row]`; the global `name` is added to the enclosing module when missing."""
    columns = len(rows[0])
    element = element_type(emitter.type)
    table_type = ir.MemRefType.get([len(rows) * columns], element)
    _ensure_global(name, table_type, rows)
    table = memref.GetGlobalOp(table_type, name).result
    first = row * columns
    return [Value(emitter, _load(emitter, table, first + column)) for column in range(columns)]


def _load(emitter: Emitter, table: ir.Value, position: Value) -> ir.Value:
    index = ir.IndexType.get()
    if not isinstance(emitter.type, ir.VectorType):
        return memref.LoadOp(table, [arith.IndexCastOp(index, position.ssa).result]).result
    # Only one-dimensional gathers have a lowering to LLVM.
    lanes = [math.prod(emitter.type.shape)]
    flat_type = ir.VectorType.get(lanes, element_type(emitter.type))
    flat = vector.ShapeCastOp(ir.VectorType.get(lanes, element_type(position.ssa.type)), position.ssa).result
    indices = arith.IndexCastOp(ir.VectorType.get(lanes, index), flat).result
    mask = emitter.splat(ir.VectorType.get(lanes, ir.IntegerType.get_signless(1)), 1)
    start = arith.ConstantOp(index, ir.IntegerAttr.get(index, 0)).result
    otherwise = emitter.splat(flat_type, 0.0)
    gathered = vector.GatherOp(flat_type, table, [start], indices, mask, otherwise).result
    return vector.ShapeCastOp(emitter.type, gathered).result


def _ensure_global(name: str, table_type: ir.MemRefType, rows: Sequence[Sequence[float]]) -> None:
    body = _enclosing_symbol_table().regions[0].blocks[0]
    for operation in body.operations:
        if operation.operation.name == "memref.global" and operation.attributes["sym_name"].value == name:
            return
    values = ir.DenseElementsAttr.get(np.asarray(rows, dtype=np.float64).reshape(-1))
    with ir.InsertionPoint.at_block_begin(body), ir.Location.name("px math table"):
        memref.GlobalOp(name, table_type, sym_visibility="private", initial_value=values, constant=True)


def _enclosing_symbol_table() -> ir.Operation:
    operation = ir.InsertionPoint.current.block.owner
    while operation.operation.name not in _SYMBOL_TABLES:
        operation = operation.operation.parent
    return operation.operation
