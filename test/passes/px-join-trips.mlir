// RUN: phalanx-opt %s --px-join-trips --canonicalize | FileCheck %s

// Four trips of a short body at once; the one that is left of 101 follows.
// CHECK-LABEL: @short
// CHECK: %[[JOINED:.*]] = scf.for %{{.*}} = %c0 to %c100 step %c4 iter_args(%[[X:.*]] = %arg0)
// CHECK-NEXT: %[[ONE:.*]] = "px.multiply"(%[[X]], %[[X]])
// CHECK-NEXT: %[[TWO:.*]] = "px.multiply"(%[[ONE]], %[[ONE]])
// CHECK-NEXT: %[[THREE:.*]] = "px.multiply"(%[[TWO]], %[[TWO]])
// CHECK-NEXT: %[[FOUR:.*]] = "px.multiply"(%[[THREE]], %[[THREE]])
// CHECK-NEXT: scf.yield %[[FOUR]]
// CHECK: "px.multiply"(%[[JOINED]], %[[JOINED]])
func.func @short(%x: tensor<256x64xf32>) -> tensor<256x64xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c101 = arith.constant 101 : index
  %0 = scf.for %i = %c0 to %c101 step %c1 iter_args(%v = %x) -> (tensor<256x64xf32>) {
    %1 = "px.multiply"(%v, %v) : (tensor<256x64xf32>, tensor<256x64xf32>) -> tensor<256x64xf32>
    scf.yield %1 : tensor<256x64xf32>
  }
  return %0 : tensor<256x64xf32>
}

// The number of trips may be known at run time only; each trip sees its own number.
// CHECK-LABEL: @unknown
// CHECK: %[[REST:.*]] = arith.remsi
// CHECK: scf.for %[[I:.*]] = %c0 to %[[MIDDLE:.*]] step %c4
// CHECK: arith.index_cast %[[I]]
// CHECK: %[[NEXT:.*]] = arith.addi %[[I]], %c1
// CHECK: arith.index_cast %[[NEXT]]
// CHECK: scf.for %{{.*}} = %[[MIDDLE]] to %arg1 step %c1
func.func @unknown(%x: tensor<16384xi64>, %n: index) -> tensor<16384xi64> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %0 = scf.for %i = %c0 to %n step %c1 iter_args(%v = %x) -> (tensor<16384xi64>) {
    %k = "px.constant"() {value = dense<3> : tensor<i64>} : () -> tensor<i64>
    %1 = "px.add"(%v, %k) : (tensor<16384xi64>, tensor<i64>) -> tensor<16384xi64>
    %w = arith.index_cast %i : index to i64
    %t = tensor.from_elements %w : tensor<i64>
    %2 = "px.multiply"(%1, %t) : (tensor<16384xi64>, tensor<i64>) -> tensor<16384xi64>
    scf.yield %2 : tensor<16384xi64>
  }
  return %0 : tensor<16384xi64>
}

// A state that fits the first-level cache, a dear function, an element computed from others: as they were.
// CHECK-LABEL: @small
// CHECK: scf.for %{{.*}} = %c0 to %c100 step %c1
func.func @small(%x: tensor<64xf32>) -> tensor<64xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c100 = arith.constant 100 : index
  %0 = scf.for %i = %c0 to %c100 step %c1 iter_args(%v = %x) -> (tensor<64xf32>) {
    %1 = "px.multiply"(%v, %v) : (tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
    scf.yield %1 : tensor<64xf32>
  }
  return %0 : tensor<64xf32>
}

// CHECK-LABEL: @dear
// CHECK: scf.for %{{.*}} = %c0 to %c100 step %c1
func.func @dear(%x: tensor<16384xf32>) -> tensor<16384xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c100 = arith.constant 100 : index
  %0 = scf.for %i = %c0 to %c100 step %c1 iter_args(%v = %x) -> (tensor<16384xf32>) {
    %1 = "px.exp"(%v) : (tensor<16384xf32>) -> tensor<16384xf32>
    scf.yield %1 : tensor<16384xf32>
  }
  return %0 : tensor<16384xf32>
}

// CHECK-LABEL: @neighbours
// CHECK: scf.for %{{.*}} = %c0 to %c100 step %c1
func.func @neighbours(%x: tensor<16384xf32>) -> tensor<16384xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c100 = arith.constant 100 : index
  %0 = scf.for %i = %c0 to %c100 step %c1 iter_args(%v = %x) -> (tensor<16384xf32>) {
    %r = "px.reverse"(%v) {axes = array<i64: 0>} : (tensor<16384xf32>) -> tensor<16384xf32>
    %1 = "px.multiply"(%v, %r) : (tensor<16384xf32>, tensor<16384xf32>) -> tensor<16384xf32>
    scf.yield %1 : tensor<16384xf32>
  }
  return %0 : tensor<16384xf32>
}
