// RUN: phalanx-opt %s --load=reciprocal.passes --reciprocal-divide | FileCheck %s
// RUN: phalanx-opt %s --load=reciprocal.passes --reciprocal-divide=any-constant=true | FileCheck %s --check-prefix=ANY

// CHECK-LABEL: @by_four
// CHECK: %[[QUARTER:.+]] = "px.constant"() {value = dense<2.500000e-01>
// CHECK: "px.multiply"(%arg0, %[[QUARTER]])
// CHECK-NOT: px.divide
func.func @by_four(%x: tensor<8xf32>) -> tensor<8xf32> {
  %c = "px.constant"() {value = dense<4.0> : tensor<f32>} : () -> tensor<f32>
  %0 = "px.divide"(%x, %c) : (tensor<8xf32>, tensor<f32>) -> tensor<8xf32>
  return %0 : tensor<8xf32>
}

// One third is not a number of binary digits.
// CHECK-LABEL: @by_three
// CHECK: px.divide
// ANY-LABEL: @by_three
// ANY: px.multiply
func.func @by_three(%x: tensor<8xf32>) -> tensor<8xf32> {
  %c = "px.constant"() {value = dense<3.0> : tensor<f32>} : () -> tensor<f32>
  %0 = "px.divide"(%x, %c) : (tensor<8xf32>, tensor<f32>) -> tensor<8xf32>
  return %0 : tensor<8xf32>
}
