// RUN: phalanx-opt %s --px-form-clusters | FileCheck %s
// RUN: phalanx-opt %s --pass-pipeline='builtin.module(px-form-clusters{fuse=false})' | FileCheck %s --check-prefix=ALONE

// softmax(x + b) is one loop nest over rows; the matmul that follows takes the addition as its epilogue.
// The temporary between them lies in the arena; the result is written where the caller wants it.

// CHECK: func.func @main(%[[X:.*]]: memref<i8>, %{{.*}}: memref<i8>, %{{.*}}: memref<i8>, %[[R:.*]]: memref<i8>, %{{.*}}: memref<i8>)
// CHECK-SAME: px.arena = 128 : i64, px.inputs = 3 : i64, px.results = 1 : i64
// CHECK: call @red_exp_L{{[0-9]+}}_0(
// CHECK: call @con_L{{[0-9]+}}_1(
// CHECK-NOT: call
// CHECK: return
// CHECK: func.func private @red_exp_L{{[0-9]+}}_0(%[[A:.*]]: memref<f32>, %{{.*}}: memref<f32>, %[[O:.*]]: memref<f32> {llvm.noalias}, %{{.*}}: memref<i8>)
// CHECK-SAME: px.cluster = "reduction", px.outs = 1 : i64
// CHECK: memref.reinterpret_cast %[[O]] to offset: [0], sizes: [4, 8], strides: [8, 1]
// CHECK: bufferization.to_tensor {{.*}} restrict
// CHECK-COUNT-5: linalg.generic
// CHECK: bufferization.materialize_in_destination {{.*}} in restrict writable
// CHECK: func.func private @con_L{{[0-9]+}}_1
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "reduction"]
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel"]
// CHECK: func.func @main_arena_bytes() -> i64

// ALONE-COUNT-7: call @
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>
#col = affine_map<(d0, d1) -> (d1)>
func.func @main(%x: tensor<4x8xf32>, %b: tensor<8xf32>, %w: tensor<8x8xf32>) -> tensor<4x8xf32> {
  %lowest = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8xf32>
  %v = tensor.empty() : tensor<4xf32>
  %0 = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]}
    ins(%x, %b : tensor<4x8xf32>, tensor<8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %r = arith.addf %p, %q : f32
    linalg.yield %r : f32
  } -> tensor<4x8xf32>
  %1 = linalg.fill ins(%lowest : f32) outs(%v : tensor<4xf32>) -> tensor<4xf32>
  %2 = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
    ins(%0 : tensor<4x8xf32>) outs(%1 : tensor<4xf32>) {
  ^bb0(%p: f32, %o: f32):
    %r = arith.maximumf %o, %p : f32
    linalg.yield %r : f32
  } -> tensor<4xf32>
  %3 = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
    ins(%0, %2 : tensor<4x8xf32>, tensor<4xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %d = arith.subf %p, %q : f32
    %r = math.exp %d : f32
    linalg.yield %r : f32
  } -> tensor<4x8xf32>
  %4 = linalg.fill ins(%zero : f32) outs(%v : tensor<4xf32>) -> tensor<4xf32>
  %5 = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
    ins(%3 : tensor<4x8xf32>) outs(%4 : tensor<4xf32>) {
  ^bb0(%p: f32, %o: f32):
    %r = arith.addf %o, %p : f32
    linalg.yield %r : f32
  } -> tensor<4xf32>
  %6 = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
    ins(%3, %5 : tensor<4x8xf32>, tensor<4xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %r = arith.divf %p, %q : f32
    linalg.yield %r : f32
  } -> tensor<4x8xf32>
  %7 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
  %8 = linalg.generic {px.kind = "contraction", indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d2)>,
      affine_map<(d0, d1, d2) -> (d2, d1)>, affine_map<(d0, d1, d2) -> (d0, d1)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%6, %w : tensor<4x8xf32>, tensor<8x8xf32>) outs(%7 : tensor<4x8xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %m = arith.mulf %p, %q : f32
    %r = arith.addf %o, %m : f32
    linalg.yield %r : f32
  } -> tensor<4x8xf32>
  %9 = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]}
    ins(%8, %b : tensor<4x8xf32>, tensor<8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %r = arith.addf %p, %q : f32
    linalg.yield %r : f32
  } -> tensor<4x8xf32>
  return %9 : tensor<4x8xf32>
}
