# Operations of the dialect have typed views in Python: operands and attributes by name.
# RUN: %python %s | FileCheck %s

from mlir import ir

import phalanx as px
from phalanx.compiler.context import context
from phalanx.dialects import px as dialect

traced = px.jit(lambda x, y: (px.sum(x + y, axis=1), px.concatenate([x, y]))).trace("f32[2,3]", "f32[2,3]")
with context():
    module = ir.Module.parse(traced.text)
    block = module.body.operations[0].regions[0].blocks[0]
    total, summed, joined, _ = block.operations
    # CHECK: add_op True True
    print(type(total).__name__, total.lhs == block.arguments[0], total.rhs == block.arguments[1])
    # CHECK: sum_op (1,) False None
    print(type(summed).__name__, summed.axes, summed.keepdims, summed.dtype)
    # CHECK: concatenate_op 2 0
    print(type(joined).__name__, len(joined.tensors), joined.axis)
    # CHECK: True True
    print(isinstance(total, dialect.add_op), total.definition is px.add)
    # CHECK: px.add
    print(total.operation.name)
