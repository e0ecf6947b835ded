// RUN: %phalanx_opt %s --pass-pipeline='px-schedule-loops{isa=x86-64-v3}' --split-input-file | FileCheck %s

// Two elementwise ops on dense arrays: one loop over all elements, one load and one store a point.
// CHECK-LABEL: func.func private @chain
// CHECK-SAME: px.workspace = 0 : i64
// CHECK: %[[N:.*]] = arith.constant 32 : index
// CHECK: scf.for %[[I:.*]] = %{{.*}} to %[[N]]
// CHECK-NEXT: %[[X:.*]] = memref.load %{{.*}}[%[[I]]]
// CHECK-NEXT: %[[SQUARE:.*]] = arith.mulf %[[X]], %[[X]]
// CHECK-NEXT: %[[SUM:.*]] = arith.addf %[[SQUARE]], %[[X]]
// CHECK-NEXT: memref.store %[[SUM]], %{{.*}}[%[[I]]]
// CHECK-NOT: scf.for
#id = affine_map<(i, j) -> (i, j)>
func.func private @chain(%x: memref<f32>, %y: memref<f32> {llvm.noalias}, %ws: memref<i8>)
    attributes {px.cluster = "elementwise", px.outs = 1 : i64} {
  %xv = memref.reinterpret_cast %x to offset: [0], sizes: [4, 8], strides: [8, 1] : memref<f32> to memref<4x8xf32>
  %yv = memref.reinterpret_cast %y to offset: [0], sizes: [4, 8], strides: [8, 1] : memref<f32> to memref<4x8xf32>
  %t = bufferization.to_tensor %xv restrict : memref<4x8xf32> to tensor<4x8xf32>
  %e = tensor.empty() : tensor<4x8xf32>
  %a = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%t : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%v: f32, %o: f32):
    %p = arith.mulf %v, %v : f32
    linalg.yield %p : f32
  } -> tensor<4x8xf32>
  %b = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%a, %t : tensor<4x8xf32>, tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%v: f32, %w: f32, %o: f32):
    %s = arith.addf %v, %w : f32
    linalg.yield %s : f32
  } -> tensor<4x8xf32>
  bufferization.materialize_in_destination %b in restrict writable %yv : (tensor<4x8xf32>, memref<4x8xf32>) -> ()
  return
}

// -----

// A column sum walks memory forwards: rows outside, lanes inside, eight rows a walk, accumulators on the stack.
// CHECK-LABEL: func.func private @columns
// CHECK-SAME: px.workspace = 0 : i64
// CHECK: memref.alloca() {alignment = 64 : i64} : memref<512xi8>
// CHECK: scf.for %{{.*}} to %c96 step %c8
// CHECK: scf.for %[[J:.*]] = %{{.*}} to %c128
// CHECK-COUNT-8: arith.addf
// CHECK-NOT: arith.addf %{{.*}} : i
// CHECK: memref.store
func.func private @columns(%x: memref<f32>, %y: memref<f32> {llvm.noalias}, %ws: memref<i8>)
    attributes {px.cluster = "reduction", px.outs = 1 : i64} {
  %xv = memref.reinterpret_cast %x to offset: [0], sizes: [100, 128], strides: [128, 1] : memref<f32> to memref<100x128xf32>
  %yv = memref.reinterpret_cast %y to offset: [0], sizes: [128], strides: [1] : memref<f32> to memref<128xf32>
  %t = bufferization.to_tensor %xv restrict : memref<100x128xf32> to tensor<100x128xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<128xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<128xf32>) -> tensor<128xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>],
                       iterator_types = ["reduction", "parallel"]}
      ins(%t : tensor<100x128xf32>) outs(%f : tensor<128xf32>) {
  ^bb0(%v: f32, %acc: f32):
    %p = arith.addf %v, %acc fastmath<reassoc> : f32
    linalg.yield %p : f32
  } -> tensor<128xf32>
  bufferization.materialize_in_destination %s in restrict writable %yv : (tensor<128xf32>, memref<128xf32>) -> ()
  return
}

// -----

// A product, too small to pack its operands: its registers are filled by a function that all products share.
// CHECK-LABEL: func.func private @product({{.*}} px.workspace = 0
// CHECK: func.call @[[ROUTINE:px_multiply[a-z0-9_]*]]
// CHECK: func.func private @[[ROUTINE]]({{.*}} attributes {px.code = "define hidden void @[[ROUTINE]](
// CHECK-SAME: phi <8 x float>
// CHECK-SAME: load <8 x float>
// CHECK-SAME: shufflevector <8 x float>
// CHECK-SAME: fmul contract <8 x float>
// CHECK-NOT: <16 x float>
// CHECK-NOT: linalg
func.func private @product(%x: memref<f32>, %y: memref<f32>, %z: memref<f32> {llvm.noalias}, %ws: memref<i8>)
    attributes {px.cluster = "contraction", px.outs = 1 : i64} {
  %xv = memref.reinterpret_cast %x to offset: [0], sizes: [24, 40], strides: [40, 1] : memref<f32> to memref<24x40xf32>
  %yv = memref.reinterpret_cast %y to offset: [0], sizes: [40, 64], strides: [64, 1] : memref<f32> to memref<40x64xf32>
  %zv = memref.reinterpret_cast %z to offset: [0], sizes: [24, 64], strides: [64, 1] : memref<f32> to memref<24x64xf32>
  %a = bufferization.to_tensor %xv restrict : memref<24x40xf32> to tensor<24x40xf32>
  %b = bufferization.to_tensor %yv restrict : memref<40x64xf32> to tensor<40x64xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<24x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<24x64xf32>) -> tensor<24x64xf32>
  %c = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>,
                                        affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"], px.kind = "contraction"}
      ins(%a, %b : tensor<24x40xf32>, tensor<40x64xf32>) outs(%f : tensor<24x64xf32>) {
  ^bb0(%u: f32, %v: f32, %acc: f32):
    %p = arith.mulf %u, %v : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<24x64xf32>
  bufferization.materialize_in_destination %c in restrict writable %zv : (tensor<24x64xf32>, memref<24x64xf32>) -> ()
  return
}

// -----

// A product whose matrix was packed before a loop reads panels of columns; the function that packs them is written with it.
// CHECK-LABEL: func.func private @packed
// CHECK-SAME: %[[W:.*]]: memref<f32>, %[[PANELS:.*]]: memref<f32>, %{{.*}}: memref<f32> {llvm.noalias}
// CHECK-NOT: call @px_pack
// CHECK: call @px_multiply_f32_4x2x8(%{{.*}}, %[[PANELS]],
// CHECK-LABEL: func.func private @pack(
// CHECK-SAME: %[[SOURCE:.*]]: memref<f32>, %[[TARGET:.*]]: memref<f32> {llvm.noalias}
// CHECK: call @px_pack_depth_f32_16x8(%[[SOURCE]], %[[TARGET]],
func.func private @packed(%x: memref<f32>, %w: memref<f32>, %panels: memref<f32>, %y: memref<f32> {llvm.noalias}, %ws: memref<i8>)
    attributes {px.cluster = "contraction", px.outs = 1 : i64, px.panels = array<i64: 1, 2, 17424>} {
  %xv = memref.reinterpret_cast %x to offset: [0], sizes: [4, 128], strides: [128, 1] : memref<f32> to memref<4x128xf32>
  %wv = memref.reinterpret_cast %w to offset: [0], sizes: [128, 128], strides: [128, 1] : memref<f32> to memref<128x128xf32>
  %yv = memref.reinterpret_cast %y to offset: [0], sizes: [4, 128], strides: [128, 1] : memref<f32> to memref<4x128xf32>
  %xt = bufferization.to_tensor %xv restrict : memref<4x128xf32> to tensor<4x128xf32>
  %wt = bufferization.to_tensor %wv restrict : memref<128x128xf32> to tensor<128x128xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x128xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x128xf32>) -> tensor<4x128xf32>
  %a = linalg.generic {px.kind = "contraction", indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d2)>,
      affine_map<(d0, d1, d2) -> (d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%xt, %wt : tensor<4x128xf32>, tensor<128x128xf32>) outs(%f : tensor<4x128xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %m = arith.mulf %p, %q : f32
    %s = arith.addf %o, %m : f32
    linalg.yield %s : f32
  } -> tensor<4x128xf32>
  bufferization.materialize_in_destination %a in restrict writable %yv : (tensor<4x128xf32>, memref<4x128xf32>) -> ()
  return
}
func.func private @pack(%w: memref<f32>, %panels: memref<f32> {llvm.noalias}, %ws: memref<i8>)
    attributes {px.cluster = "pack", px.outs = 1 : i64, px.packs = @packed} {
  return
}
