# Control flow becomes upstream scf; the carry is what the operation carries.
# RUN: %python %s | FileCheck %s

import phalanx as px


def show(name, f, *specs):
    print(name)
    print(px.jit(f).trace(*specs).text)


# CHECK-LABEL: a cond
# CHECK: %[[P:.*]] = "px.greater"
# CHECK: %[[FLAG:.*]] = tensor.extract %[[P]][] : tensor<i1>
# CHECK: %[[R:.*]] = scf.if %[[FLAG]] -> (tensor<f32>) {
# CHECK: "px.exp"
# CHECK: scf.yield
# CHECK: } else {
# CHECK: "px.negative"
# CHECK: scf.yield
# CHECK: return %[[R]]
show("a cond", lambda x: px.cond(x > 0, px.exp, px.negative, x), "f32[]")

# CHECK-LABEL: a fori_loop
# CHECK-DAG: %[[LO:.*]] = arith.constant 0 : index
# CHECK-DAG: %[[HI:.*]] = arith.constant 5 : index
# CHECK: scf.for %[[I:.*]] = %[[LO]] to %[[HI]] step %{{.*}} iter_args(%[[C:.*]] = %arg0) -> (tensor<4xf32>) {
# CHECK: "px.multiply"(%[[C]], %[[C]])
# CHECK: scf.yield
show("a fori_loop", lambda x: px.fori_loop(0, 5, lambda i, c: c * c, x), "f32[4]")

# CHECK-LABEL: a while_loop
# CHECK: scf.while (%[[A:.*]] = %arg0) : (tensor<f32>) -> tensor<f32> {
# CHECK: "px.less"(%[[A]],
# CHECK: scf.condition
# CHECK: } do {
# CHECK: ^bb0(%[[B:.*]]: tensor<f32>):
# CHECK: "px.add"(%[[B]], %[[B]])
# CHECK: scf.yield
show("a while_loop", lambda x: px.while_loop(lambda c: c < 10.0, lambda c: c + c, x), "f32[]")

# Outputs of a scan are carried stacks, written one row at a time.
# CHECK-LABEL: a scan
# CHECK: %[[STACK:.*]] = "px.full"({{.*}}) {shape = array<i64: 7>}
# CHECK: scf.for %{{.*}} iter_args(%[[SUM:.*]] = %{{.*}}, %[[YS:.*]] = %[[STACK]])
# CHECK: %[[ROW:.*]] = "px.dynamic_slice"(%arg0,
# CHECK: %[[X:.*]] = "px.reshape"(%[[ROW]])
# CHECK: %[[NEXT:.*]] = "px.add"(%[[SUM]], %[[X]])
# CHECK: %[[WRITTEN:.*]] = "px.dynamic_update_slice"(%[[YS]],
# CHECK: scf.yield %[[NEXT]], %[[WRITTEN]]
show("a scan", lambda xs: px.scan(lambda c, x: (c + x, c), px.asarray(0.0), xs), "f32[7]")

# CHECK-LABEL: an io_call
# CHECK: "px.host_call"(%arg0) {label = "loss"
# CHECK: return %arg0
show("an io_call", lambda x: px.io_call(x, print, name="loss"), "f32[]")
