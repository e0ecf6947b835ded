# What tracing builds: px operations in order, hidden arguments, named sizes, the user's lines.
# RUN: %python %s | FileCheck %s

import numpy as np

import phalanx as px
from phalanx.compiler.context import context

captured = px.asarray(np.arange(32, dtype=np.float32))


def f(x, pair):
    return {"sum": px.exp(x) + captured, "scaled": pair[0] * 2.0 - pair[1]}


# CHECK-LABEL: func.func @main
# CHECK-SAME: %arg0: tensor<32xf32> {px.name = "x"}
# CHECK-SAME: %arg1: tensor<4xi32> {px.name = "pair[0]"}
# CHECK-SAME: %arg2: tensor<4xf32> {px.name = "pair[1]"}
# CHECK-SAME: %arg3: tensor<32xf32> {px.name = "captured0"}
# CHECK: %[[E:.*]] = "px.exp"(%arg0)
# CHECK: %[[S:.*]] = "px.add"(%[[E]], %arg3)
# An int32 tensor meets a Python float: converted first.
# CHECK: %[[C:.*]] = "px.convert"(%arg1) {dtype = f32}
# CHECK: %[[TWO:.*]] = "px.constant"() {value = dense<2.000000e+00> : tensor<f32>}
# CHECK: %[[M:.*]] = "px.multiply"(%[[C]], %[[TWO]])
# CHECK: %[[D:.*]] = "px.subtract"(%[[M]], %arg2)
# Results in the order of the sorted keys.
# CHECK: return %[[D]], %[[S]]
print(px.jit(f).trace("f32[32]", ("i32[4]", "f32[4]")).text)

# CHECK-LABEL: func.func @main
# CHECK-SAME: tensor<?x128xf32> {px.name = "x", px.shape = ["n", 128]}
# CHECK-SAME: attributes {px.dims = ["n"]}
# CHECK: "px.concatenate"
# CHECK-SAME: -> tensor<?x128xf32>
# CHECK: "px.reshape"
# CHECK-SAME: shape = ["256*n"]
print(px.jit(lambda x: px.reshape(px.concatenate([x, x]), (-1,))).trace("f32[n,128]").text)


def located(x):
    y = px.tanh(x)
    return px.sum(y)


# CHECK-LABEL: located
# CHECK: "px.tanh"{{.*}} loc(#[[TANH:.*]])
# CHECK: "px.sum"{{.*}} loc(#[[SUM:.*]])
# CHECK-NOT: loc(unknown)
# CHECK: #[[PLACE:.*]] = loc("{{.*}}trace.py":43:9 to :19)
# CHECK: #[[TANH]] = loc("located"(#[[PLACE]]))
traced = px.jit(located).trace("f32[8]")
print("located")
with context():
    print(traced.module.operation.get_asm(enable_debug_info=True))
