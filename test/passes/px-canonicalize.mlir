// RUN: phalanx-opt %s --px-canonicalize --px-dce | FileCheck %s

// x * 1, 1 * x, x - 0.0 and x + -0.0 are x for every float.
// CHECK-LABEL: @neutral
// CHECK-NEXT: return %arg0, %arg0, %arg0, %arg0
func.func @neutral(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  %one = "px.constant"() {value = dense<1.0> : tensor<f32>} : () -> tensor<f32>
  %zero = "px.constant"() {value = dense<0.0> : tensor<f32>} : () -> tensor<f32>
  %minus = "px.constant"() {value = dense<-0.0> : tensor<4xf32>} : () -> tensor<4xf32>
  %0 = "px.multiply"(%x, %one) : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %1 = "px.multiply"(%one, %x) : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %2 = "px.subtract"(%x, %zero) : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %3 = "px.add"(%x, %minus) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %0, %1, %2, %3 : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}

// x + 0.0 makes 0.0 of -0.0, x * 0.0 keeps NaN, and 1 * x may be what broadcasts x: all stay.
// CHECK-LABEL: @not_neutral
// CHECK: px.add
// CHECK: px.multiply
// CHECK: px.multiply
func.func @not_neutral(%x: tensor<4xf32>, %s: tensor<f32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  %zero = "px.constant"() {value = dense<0.0> : tensor<f32>} : () -> tensor<f32>
  %ones = "px.constant"() {value = dense<1.0> : tensor<4xf32>} : () -> tensor<4xf32>
  %0 = "px.add"(%x, %zero) : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %1 = "px.multiply"(%x, %zero) : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %2 = "px.multiply"(%ones, %s) : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  return %0, %1, %2 : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}

// For integers 0 is neutral.
// CHECK-LABEL: @integers
// CHECK-NEXT: return %arg0
func.func @integers(%x: tensor<4xi32>) -> tensor<4xi32> {
  %zero = "px.constant"() {value = dense<0> : tensor<i32>} : () -> tensor<i32>
  %0 = "px.add"(%zero, %x) : (tensor<i32>, tensor<4xi32>) -> tensor<4xi32>
  return %0 : tensor<4xi32>
}

// CHECK-LABEL: @moves
// CHECK-NEXT: return %arg0, %arg0, %arg0
func.func @moves(%x: tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>) {
  %0 = "px.transpose"(%x) {axes = array<i64: 1, 0>} : (tensor<2x3xf32>) -> tensor<3x2xf32>
  %1 = "px.transpose"(%0) {axes = array<i64: 1, 0>} : (tensor<3x2xf32>) -> tensor<2x3xf32>
  %2 = "px.reshape"(%x) {shape = array<i64: 6>} : (tensor<2x3xf32>) -> tensor<6xf32>
  %3 = "px.reshape"(%2) {shape = array<i64: 2, 3>} : (tensor<6xf32>) -> tensor<2x3xf32>
  %4 = "px.reverse"(%x) {axes = array<i64: 0, 1>} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %5 = "px.reverse"(%4) {axes = array<i64: 1, 0>} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  return %1, %3, %5 : tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>
}

// Two moves become one.
// CHECK-LABEL: @composed
// CHECK-NEXT: %[[T:.*]] = "px.transpose"(%arg0){{.*}}axes = array<i64: 2, 1, 0>
// CHECK-NEXT: return %[[T]]
func.func @composed(%x: tensor<2x3x4xf32>) -> tensor<4x3x2xf32> {
  %0 = "px.transpose"(%x) {axes = array<i64: 1, 2, 0>} : (tensor<2x3x4xf32>) -> tensor<3x4x2xf32>
  %1 = "px.transpose"(%0) {axes = array<i64: 1, 0, 2>} : (tensor<3x4x2xf32>) -> tensor<4x3x2xf32>
  return %1 : tensor<4x3x2xf32>
}

// A stay in a type that holds every value changes nothing; one in a narrower type does.
// CHECK-LABEL: @conversions
// CHECK-NEXT: %[[N:.*]] = "px.convert"(%arg0){{.*}} -> tensor<4xf16>
// CHECK-NEXT: %[[B:.*]] = "px.convert"(%[[N]])
// CHECK-NEXT: return %arg0, %[[B]]
func.func @conversions(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %0 = "px.convert"(%x) {dtype = f64} : (tensor<4xf32>) -> tensor<4xf64>
  %1 = "px.convert"(%0) {dtype = f32} : (tensor<4xf64>) -> tensor<4xf32>
  %2 = "px.convert"(%x) {dtype = f16} : (tensor<4xf32>) -> tensor<4xf16>
  %3 = "px.convert"(%2) {dtype = f32} : (tensor<4xf16>) -> tensor<4xf32>
  return %1, %3 : tensor<4xf32>, tensor<4xf32>
}

// With named sizes equal types do not mean equal sizes.
// CHECK-LABEL: @named
// CHECK-NEXT: px.reshape
func.func @named(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %0 = "px.reshape"(%x) {shape = ["m", "n"]} : (tensor<?x?xf32>) -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}

// CHECK-LABEL: @select
// CHECK-NEXT: return %arg1, %arg0
func.func @select(%x: tensor<4xf32>, %y: tensor<4xf32>, %c: tensor<4xi1>) -> (tensor<4xf32>, tensor<4xf32>) {
  %false = "px.constant"() {value = dense<false> : tensor<i1>} : () -> tensor<i1>
  %0 = "px.select"(%false, %x, %y) : (tensor<i1>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %1 = "px.select"(%c, %x, %x) : (tensor<4xi1>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %0, %1 : tensor<4xf32>, tensor<4xf32>
}

// Inside a loop, in order.
// CHECK-LABEL: @inside
// CHECK: scf.for
// CHECK-NEXT: px.exp
// CHECK-NEXT: scf.yield
func.func @inside(%x: tensor<4xf32>, %n: index) -> tensor<4xf32> {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %0 = scf.for %i = %zero to %n step %one iter_args(%a = %x) -> (tensor<4xf32>) {
    %1 = "px.negative"(%a) : (tensor<4xf32>) -> tensor<4xf32>
    %2 = "px.negative"(%1) : (tensor<4xf32>) -> tensor<4xf32>
    %3 = "px.positive"(%2) : (tensor<4xf32>) -> tensor<4xf32>
    %4 = "px.exp"(%3) : (tensor<4xf32>) -> tensor<4xf32>
    scf.yield %4 : tensor<4xf32>
  }
  return %0 : tensor<4xf32>
}
