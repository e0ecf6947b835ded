# Gradients are px operations like any other, at the line they derive from.
# RUN: %python %s | FileCheck %s

import phalanx as px


def show(name, f, *specs):
    print(name)
    print(px.jit(f).trace(*specs).text)


# CHECK-LABEL: == elementwise
# CHECK: %[[X:.*]] = "px.convert"(%arg0)
# CHECK: %[[E:.*]] = "px.exp"(%[[X]])
# CHECK: %[[CT:.*]] = "px.broadcast"
# CHECK: %[[G:.*]] = "px.multiply"(%[[CT]], %[[E]])
# CHECK: return %[[G]]
show("== elementwise", px.grad(lambda x: px.sum(px.exp(x))), "f32[4]")

# A broadcast operand gets the sum over what it was broadcast along.
# CHECK-LABEL: == broadcast
# CHECK: %[[SUMMED:.*]] = "px.sum"({{.*}}) {axes = array<i64: 0>{{.*}}} : (tensor<8x4xf32>) -> tensor<4xf32>
# CHECK: return %[[SUMMED]]
show("== broadcast", px.grad(lambda b, x: px.sum(x * b)), "f32[4]", "f32[8,4]")

# A counted loop keeps the carries its backward loop reads; the forward loop gets a stack.
# CHECK-LABEL: == loop
# CHECK: %[[F:.*]]:2 = scf.for {{.*}} -> (tensor<f32>, tensor<6xf32>)
# CHECK: "px.sin"
# CHECK: "px.dynamic_update_slice"
# CHECK: scf.for {{.*}} -> (tensor<f32>)
# CHECK: "px.dynamic_slice"(%[[F]]#1
# CHECK: "px.cos"
# CHECK: scf.yield
show("== loop", px.grad(lambda x: px.fori_loop(0, 6, lambda i, c: px.sin(c), x)), "f32[]")

# Unknown trip count: the forward loop counts, the backward loop recomputes.
# CHECK-LABEL: == unknown
# CHECK: %[[W:.*]]:2 = scf.while {{.*}} -> (tensor<f32>, tensor<i64>)
# CHECK: scf.for
# CHECK: scf.for
# CHECK: "px.sin"
show("== unknown", px.grad(lambda x: px.while_loop(lambda c: c > 0.5, px.sin, x)), "f32[]")


@px.custom_vjp
def halved(x):
    return x


halved.defvjp(lambda x: (x, x), lambda kept, ct: (ct / 2 + kept * 0,))

# A rule of its own replaces what the body would give; its functions are gone by the end of the trace.
# CHECK-LABEL: == custom
# CHECK-NOT: func.call
# CHECK-NOT: private
# CHECK: "px.divide"
# CHECK: return
show("== custom", px.grad(halved), "f32[]")

# CHECK-LABEL: == batched
# CHECK: "px.dot_general"({{.*}}) {batch_axes = [array<i64: 0>, array<i64: 0>]
show("== batched", px.vmap(lambda a, b: a @ b), "f32[5,2,3]", "f32[5,3,4]")
