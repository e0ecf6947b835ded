// RUN: phalanx-opt %s --convert-px-to-linalg | FileCheck %s --implicit-check-not='"px.'

// Bools become i8 in memory and i1 in computation, unsigned integers signless, named sizes index arguments.
// CHECK-LABEL: func.func @main(
// CHECK-SAME: %[[X:arg0]]: tensor<?x4xf32> {px.name = "x", px.shape = ["n", 4]}
// CHECK-SAME: %[[M:arg1]]: tensor<4xi8>
// CHECK-SAME: %[[U:arg2]]: tensor<4xi8>
// CHECK-SAME: %[[N:arg3]]: index {px.name = "n"}
// CHECK-SAME: -> (tensor<?x4xf32>, tensor<f32>, tensor<4xi8>, tensor<4xi8>)
// CHECK-SAME: px.dims = ["n"]
func.func @main(%x: tensor<?x4xf32> {px.shape = ["n", 4], px.name = "x"}, %m: tensor<4xi1>, %u: tensor<4xui8>)
    -> (tensor<?x4xf32>, tensor<f32>, tensor<4xi1>, tensor<4xui8>) {
  %half = "px.constant"() {value = dense<0.5> : tensor<f32>} : () -> tensor<f32>

  // One linalg op per px op, sizes from the argument.
  // CHECK: tensor.empty(%[[N]]) : tensor<?x4xf32>
  // CHECK: linalg.generic
  // CHECK: math.exp
  %0 = "px.exp"(%x) : (tensor<?x4xf32>) -> tensor<?x4xf32>

  // Broadcasting is in the indexing maps.
  // CHECK: linalg.generic {indexing_maps = [#[[ROW:.*]], #[[ALL:.*]], #[[NONE:.*]], #[[ALL]]]
  // CHECK: %[[BIT:.*]] = arith.cmpi ne, %{{.*}} : i8
  // CHECK: arith.select %[[BIT]]
  %1 = "px.select"(%m, %0, %half) : (tensor<4xi1>, tensor<?x4xf32>, tensor<f32>) -> tensor<?x4xf32>

  // A float sum may be reassociated.
  // CHECK: linalg.fill
  // CHECK: linalg.generic {{.*}}iterator_types = ["reduction", "reduction"]
  // CHECK: arith.addf {{.*}}reassoc
  %2 = "px.sum"(%1) {axes = array<i64: 0, 1>, keepdims = false, dtype} : (tensor<?x4xf32>) -> tensor<f32>

  // CHECK: arith.xori {{.*}} : i1
  // CHECK: arith.extui {{.*}} : i1 to i8
  %3 = "px.logical_not"(%m) : (tensor<4xi1>) -> tensor<4xi1>

  // CHECK: arith.maxui
  %4 = "px.maximum"(%u, %u) : (tensor<4xui8>, tensor<4xui8>) -> tensor<4xui8>
  return %1, %2, %3, %4 : tensor<?x4xf32>, tensor<f32>, tensor<4xi1>, tensor<4xui8>
}

// The nest of a scatter computes its positions itself where cheap ops make them.
// CHECK-LABEL: func.func @histogram(
// CHECK-SAME: %[[AT:arg0]]: tensor<6xi32>, %[[W:arg1]]: tensor<6xf32>, %[[T:arg2]]: tensor<5xf32>
func.func @histogram(%at: tensor<6xi32>, %w: tensor<6xf32>, %t: tensor<5xf32>) -> tensor<5xf32> {
  %zero = "px.constant"() {value = dense<0> : tensor<i32>} : () -> tensor<i32>
  %size = "px.constant"() {value = dense<5> : tensor<i32>} : () -> tensor<i32>
  %below = "px.less"(%at, %zero) : (tensor<6xi32>, tensor<i32>) -> tensor<6xi1>
  %up = "px.add"(%at, %size) : (tensor<6xi32>, tensor<i32>) -> tensor<6xi32>
  %wrapped = "px.select"(%below, %up, %at) : (tensor<6xi1>, tensor<6xi32>, tensor<6xi32>) -> tensor<6xi32>

  // CHECK: scf.for
  // CHECK: %[[RAW:.*]] = tensor.extract %[[AT]]
  // CHECK: %[[BELOW:.*]] = arith.cmpi slt, %[[RAW]]
  // CHECK: %[[UP:.*]] = arith.addi
  // CHECK: arith.select {{.*}} : i32
  // CHECK: arith.index_cast
  // CHECK: arith.minui
  // CHECK: tensor.insert
  %0 = "px.scatter"(%t, %w, %wrapped) {axes = array<i64: 0>, combine = "add", mode = "drop",
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>}
      : (tensor<5xf32>, tensor<6xf32>, tensor<6xi32>) -> tensor<5xf32>
  return %0 : tensor<5xf32>
}
