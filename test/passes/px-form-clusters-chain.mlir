// RUN: phalanx-opt %s --px-form-clusters | FileCheck %s
// RUN: phalanx-opt %s --px-form-clusters --px-schedule-loops='isa=x86-64-v3 threads=false' | FileCheck %s --check-prefix=LOOPS
// RUN: phalanx-opt %s --pass-pipeline='builtin.module(px-form-clusters{fuse=false})' | FileCheck %s --check-prefix=ALONE

// Two products with the exponentials of the first one's rows in between, divided by their sums at the end, are one
// function. Some rows of the 16 x 24 scores, which exist nowhere as a whole, are in its workspace.

// CHECK: func.func @main(
// CHECK: call @chain_exp_L{{[0-9]+}}_0(
// CHECK-NOT: call
// CHECK: return
// CHECK: func.func private @chain_exp_L{{[0-9]+}}_0(%{{.*}}: memref<f32>, %{{.*}}: memref<f32>, %{{.*}}: memref<f32>, %{{.*}}: memref<f32> {llvm.noalias}, %{{.*}}: memref<i8>)
// CHECK-SAME: px.cluster = "chain"
// CHECK-NOT: px.scratch
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "parallel", "reduction"]
// CHECK: math.exp
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "reduction"]
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "parallel", "reduction"]
// CHECK: arith.divf

// One loop runs over the blocks of both batches: of 16 rows each, in two blocks, so that four threads find work.
// LOOPS: func.func private @chain_exp_L{{[0-9]+}}_0
// LOOPS: scf.for %[[BLOCK:.*]] = %{{c0(_[0-9]+)?}} to %{{c4(_[0-9]+)?}} step %{{c1(_[0-9]+)?}} {
// LOOPS: arith.divui %[[BLOCK]]
// LOOPS: math.exp

// ALONE-COUNT-5: call @
#q = affine_map<(b, i, j, k) -> (b, i, k)>
#k = affine_map<(b, i, j, k) -> (b, j, k)>
#v = affine_map<(b, i, j, k) -> (b, k, j)>
#out = affine_map<(b, i, j, k) -> (b, i, j)>
#id = affine_map<(b, i, j) -> (b, i, j)>
#row = affine_map<(b, i, j) -> (b, i)>
func.func @main(%query: tensor<2x16x4xf32>, %key: tensor<2x24x4xf32>, %value: tensor<2x24x8xf32>) -> tensor<2x16x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<2x16x24xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<2x16x24xf32>) -> tensor<2x16x24xf32>
  %scores = linalg.generic {indexing_maps = [#q, #k, #out], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
    ins(%query, %key : tensor<2x16x4xf32>, tensor<2x24x4xf32>) outs(%f0 : tensor<2x16x24xf32>) attrs = {px.kind = "contraction"} {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %c, %m : f32
    linalg.yield %s : f32
  } -> tensor<2x16x24xf32>
  %powers = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%scores : tensor<2x16x24xf32>) outs(%e0 : tensor<2x16x24xf32>) {
  ^bb0(%a: f32, %c: f32):
    %p = math.exp %a : f32
    linalg.yield %p : f32
  } -> tensor<2x16x24xf32>
  %e1 = tensor.empty() : tensor<2x16xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<2x16xf32>) -> tensor<2x16xf32>
  %total = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%powers : tensor<2x16x24xf32>) outs(%f1 : tensor<2x16xf32>) {
  ^bb0(%a: f32, %c: f32):
    %s = arith.addf %c, %a : f32
    linalg.yield %s : f32
  } -> tensor<2x16xf32>
  %e2 = tensor.empty() : tensor<2x16x8xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<2x16x8xf32>) -> tensor<2x16x8xf32>
  %mixed = linalg.generic {indexing_maps = [#q, #v, #out], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
    ins(%powers, %value : tensor<2x16x24xf32>, tensor<2x24x8xf32>) outs(%f2 : tensor<2x16x8xf32>) attrs = {px.kind = "contraction"} {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %c, %m : f32
    linalg.yield %s : f32
  } -> tensor<2x16x8xf32>
  %result = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%mixed, %total : tensor<2x16x8xf32>, tensor<2x16xf32>) outs(%e2 : tensor<2x16x8xf32>) {
  ^bb0(%a: f32, %t: f32, %c: f32):
    %d = arith.divf %a, %t : f32
    linalg.yield %d : f32
  } -> tensor<2x16x8xf32>
  return %result : tensor<2x16x8xf32>
}
