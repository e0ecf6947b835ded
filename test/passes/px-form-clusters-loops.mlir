// RUN: phalanx-opt %s --px-form-clusters --split-input-file | FileCheck %s

// A carry that is only read where it is written lives in the result's buffer: copied there once, no iter_args.
// CHECK-LABEL: func.func @main(
// CHECK: call @copy_
// CHECK: scf.for %{{.*}} = %{{.*}} to %{{.*}} step %{{.*}} {
// CHECK-NEXT: call @ew_
// CHECK-NEXT: }
// CHECK: px.alias = 0 : i64
func.func @main(%x: tensor<8xf32>) -> tensor<8xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %0 = scf.for %i = %c0 to %c9 step %c1 iter_args(%v = %x) -> (tensor<8xf32>) {
    %e = tensor.empty() : tensor<8xf32>
    %1 = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]}
      ins(%v : tensor<8xf32>) outs(%e : tensor<8xf32>) {
    ^bb0(%p: f32, %o: f32):
      %r = arith.addf %p, %p : f32
      linalg.yield %r : f32
    } -> tensor<8xf32>
    scf.yield %1 : tensor<8xf32>
  }
  return %0 : tensor<8xf32>
}

// -----

// A carry read in another order alternates between two buffers; nine is odd, so the last write hits the result.
// CHECK-LABEL: func.func @main(
// CHECK-NOT: call @copy_
// CHECK: scf.for {{.*}} iter_args(%[[CUR:.*]] = %{{.*}}, %[[NEXT:.*]] = %{{.*}}, %[[SPARE:.*]] = %{{.*}})
// CHECK: call @ew_
// CHECK: scf.yield %[[NEXT]], %[[SPARE]], %[[NEXT]]
// CHECK-NOT: px.alias
func.func @main(%x: tensor<8xf32>) -> tensor<8xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %0 = scf.for %i = %c0 to %c9 step %c1 iter_args(%v = %x) -> (tensor<8xf32>) {
    %e = tensor.empty() : tensor<8xf32>
    %1 = linalg.generic {indexing_maps = [affine_map<(d0) -> (7 - d0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]}
      ins(%v : tensor<8xf32>) outs(%e : tensor<8xf32>) {
    ^bb0(%p: f32, %o: f32):
      %r = arith.addf %p, %p : f32
      linalg.yield %r : f32
    } -> tensor<8xf32>
    scf.yield %1 : tensor<8xf32>
  }
  return %0 : tensor<8xf32>
}

// -----

// Sizes known only at run time: they are index arguments, also of the arena's size.
// CHECK-LABEL: func.func @main(
// CHECK-SAME: %[[N:[a-z0-9]+]]: index
// CHECK-SAME: px.dims = ["n"]
// CHECK: call @con_{{.*}}%[[N]]
// CHECK: func.func private @con_{{.*}}: index, %{{.*}}: memref<i8>)
// CHECK: memref.reinterpret_cast %{{.*}} to offset: [0], sizes: [%[[K:.*]], 4], strides: [4, 1] : memref<f32> to memref<?x4xf32>
// CHECK: func.func @main_arena_bytes(%{{.*}}: index) -> i64
func.func @main(%x: tensor<?x4xf32> {px.shape = ["n", 4]}, %w: tensor<4x4xf32>, %n: index) -> tensor<?x4xf32> attributes {px.dims = ["n"]} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %0 = linalg.generic {px.kind = "contraction", indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d2)>,
      affine_map<(d0, d1, d2) -> (d2, d1)>, affine_map<(d0, d1, d2) -> (d0, d1)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%x, %w : tensor<?x4xf32>, tensor<4x4xf32>) outs(%f : tensor<?x4xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %m = arith.mulf %p, %q : f32
    %r = arith.addf %o, %m : f32
    linalg.yield %r : f32
  } -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}

// -----

// The matrix of a product that every trip reads is packed once before the loop; the product gets the room of the panels.
// CHECK-LABEL: func.func @main(
// CHECK: call @pack_{{.*}}(%[[W:.*]], %[[PANELS:.*]], %{{.*}})
// CHECK: scf.for
// CHECK: call @con_{{.*}}(%{{.*}}, %[[W]], %[[PANELS]], %{{.*}}, %{{.*}})
// CHECK: func.func private @[[PRODUCT:con_[^(]*]]({{.*}}px.panels = array<i64: 1, 2, 17424>
// CHECK: func.func private @pack_{{.*}}px.packs = @[[PRODUCT]]
func.func @main(%x: tensor<4x128xf32>, %w: tensor<128x128xf32>) -> tensor<4x128xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c30 = arith.constant 30 : index
  %zero = arith.constant 0.0 : f32
  %0 = scf.for %i = %c0 to %c30 step %c1 iter_args(%v = %x) -> (tensor<4x128xf32>) {
    %e = tensor.empty() : tensor<4x128xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x128xf32>) -> tensor<4x128xf32>
    %1 = linalg.generic {px.kind = "contraction", indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d2)>,
        affine_map<(d0, d1, d2) -> (d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1)>],
        iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%v, %w : tensor<4x128xf32>, tensor<128x128xf32>) outs(%f : tensor<4x128xf32>) {
    ^bb0(%p: f32, %q: f32, %o: f32):
      %m = arith.mulf %p, %q : f32
      %a = arith.addf %o, %m : f32
      linalg.yield %a : f32
    } -> tensor<4x128xf32>
    scf.yield %1 : tensor<4x128xf32>
  }
  return %0 : tensor<4x128xf32>
}
