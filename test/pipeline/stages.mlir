// One program at the end of each stage.

// RUN: phalanx-opt %s --stage=px | FileCheck %s --check-prefix=PX
// RUN: phalanx-opt %s --stage=px --stage=linalg | FileCheck %s --check-prefix=LINALG
// RUN: phalanx-opt %s --stage=px --stage=linalg --stage=clusters | FileCheck %s --check-prefix=CLUSTERS
// RUN: phalanx-opt %s --stage=px --stage=linalg --stage=clusters --stage=scheduled | FileCheck %s --check-prefix=SCHEDULED
// RUN: phalanx-opt %s --stage=px --stage=linalg --stage=clusters --stage=scheduled --stage=buffers --stage=llvm | FileCheck %s --check-prefix=LLVM

// Merged, simplified, and nothing without a use.
// PX-LABEL: @main
// PX-NEXT: %[[E:.*]] = "px.exp"(%arg0)
// PX-NEXT: %[[S:.*]] = "px.add"(%[[E]], %[[E]])
// PX-NEXT: %[[R:.*]] = "px.add"(%[[S]], %arg1)
// PX-NEXT: return %[[R]]

// Every op a linalg op on tensors.
// LINALG-NOT: px.exp
// LINALG-LABEL: @main
// LINALG-COUNT-3: linalg.generic
// LINALG-NOT: px.
// LINALG: return

// One cluster of three ops, named after the first line, and a driver that calls it without allocating.
// CLUSTERS-LABEL: func.func @main(
// CLUSTERS-NOT: alloc
// CLUSTERS: call @[[CLUSTER:ew_exp_L[0-9]+_[0-9]+]](
// CLUSTERS-NOT: call
// CLUSTERS: return
// CLUSTERS: func.func private @[[CLUSTER]]({{.*}}px.cluster = "elementwise"
// CLUSTERS-COUNT-3: linalg.generic
// CLUSTERS: bufferization.materialize_in_destination
// CLUSTERS: func.func @main_arena_bytes

// One loop nest: two loads, one store.
// SCHEDULED-LABEL: func.func private
// SCHEDULED: scf.for
// SCHEDULED-COUNT-2: memref.load
// SCHEDULED: memref.store
// SCHEDULED-NOT: memref.store
// SCHEDULED-NOT: tensor<

// The LLVM dialect and nothing else; no call of libm.
// LLVM-LABEL: llvm.func @main(
// LLVM: llvm.call @ew_exp
// LLVM: llvm.func @main_arena_bytes
// LLVM-NOT: func.func
// LLVM-NOT: @expf

func.func @main(%x: tensor<8x16xf32>, %y: tensor<16xf32>) -> tensor<8x16xf32> {
  %one = "px.constant"() {value = dense<1.0> : tensor<f32>} : () -> tensor<f32>
  %0 = "px.exp"(%x) : (tensor<8x16xf32>) -> tensor<8x16xf32>
  %1 = "px.multiply"(%x, %one) : (tensor<8x16xf32>, tensor<f32>) -> tensor<8x16xf32>
  %2 = "px.exp"(%1) : (tensor<8x16xf32>) -> tensor<8x16xf32>
  %3 = "px.negative"(%2) : (tensor<8x16xf32>) -> tensor<8x16xf32>
  %4 = "px.add"(%0, %2) : (tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x16xf32>
  %5 = "px.add"(%4, %y) : (tensor<8x16xf32>, tensor<16xf32>) -> tensor<8x16xf32>
  return %5 : tensor<8x16xf32>
}
