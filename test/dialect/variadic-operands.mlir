// RUN: phalanx-opt %s --px-cse | FileCheck %s

// Operands of one variadic field may have unlike types; the segment sizes say which slots they fill.

// CHECK-LABEL: func.func @main
// CHECK: "px.concatenate"(%{{.*}}, %{{.*}}) {{.*}} : (tensor<2x3xf32>, tensor<4x3xf32>) -> tensor<6x3xf32>
// CHECK: "px.gather"(%{{.*}}, %{{.*}}, %{{.*}}) {{.*}} : (tensor<6x3xf32>, tensor<2x1xi32>, tensor<ui8>) -> tensor<2x1xf32>
func.func @main(%a: tensor<2x3xf32>, %b: tensor<4x3xf32>, %i: tensor<2x1xi32>, %j: tensor<ui8>) -> tensor<2x1xf32> {
  %0 = "px.concatenate"(%a, %b) {axis = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<2x3xf32>, tensor<4x3xf32>) -> tensor<6x3xf32>
  %1 = "px.gather"(%0, %i, %j) {axes = array<i64: 0, 1>, operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<6x3xf32>, tensor<2x1xi32>, tensor<ui8>) -> tensor<2x1xf32>
  return %1 : tensor<2x1xf32>
}
