// RUN: phalanx-opt %s --px-rotate-loops | FileCheck %s

// The condition is computed before the loop, and again from the next state.
// CHECK-LABEL: @array
// CHECK: %[[BEGIN:.*]] = tensor.extract
// CHECK: scf.while (%[[X:.*]] = %arg0, %[[GOING:.*]] = %[[BEGIN]])
// CHECK-NEXT: scf.condition(%[[GOING]]) %[[X]]
// CHECK: ^bb0(%[[OLD:.*]]: tensor<4xf32>):
// CHECK-NEXT: %[[NEW:.*]] = "px.sin"(%[[OLD]])
// CHECK: "px.max"(%[[NEW]])
// CHECK: %[[AGAIN:.*]] = tensor.extract
// CHECK-NEXT: scf.yield %[[NEW]], %[[AGAIN]]
func.func @array(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = scf.while (%a = %x) : (tensor<4xf32>) -> tensor<4xf32> {
    %m = "px.max"(%a) {axes = array<i64: 0>, keepdims = false} : (tensor<4xf32>) -> tensor<f32>
    %z = "px.constant"() {value = dense<0.0> : tensor<f32>} : () -> tensor<f32>
    %g = "px.greater"(%m, %z) : (tensor<f32>, tensor<f32>) -> tensor<i1>
    %c = tensor.extract %g[] : tensor<i1>
    scf.condition(%c) %a : tensor<4xf32>
  } do {
  ^bb0(%a: tensor<4xf32>):
    %n = "px.sin"(%a) : (tensor<4xf32>) -> tensor<4xf32>
    scf.yield %n : tensor<4xf32>
  }
  return %0 : tensor<4xf32>
}

// A condition on scalars stays in front of the body.
// CHECK-LABEL: @scalar
// CHECK: scf.while (%[[X:.*]] = %arg0, %[[N:.*]] = %arg1)
// CHECK-NEXT: %[[C:.*]] = tensor.extract %[[N]]
// CHECK-NEXT: scf.condition(%[[C]]) %[[X]], %[[N]]
func.func @scalar(%x: tensor<4xf32>, %n: tensor<i1>) -> tensor<4xf32> {
  %0:2 = scf.while (%a = %x, %k = %n) : (tensor<4xf32>, tensor<i1>) -> (tensor<4xf32>, tensor<i1>) {
    %c = tensor.extract %k[] : tensor<i1>
    scf.condition(%c) %a, %k : tensor<4xf32>, tensor<i1>
  } do {
  ^bb0(%a: tensor<4xf32>, %k: tensor<i1>):
    %m = "px.sin"(%a) : (tensor<4xf32>) -> tensor<4xf32>
    scf.yield %m, %k : tensor<4xf32>, tensor<i1>
  }
  return %0#0 : tensor<4xf32>
}

// A loop in a loop: both.
// CHECK-LABEL: @nested
// CHECK-COUNT-2: tensor.extract
// CHECK: scf.while
// CHECK: scf.while
// CHECK: scf.condition
// CHECK: tensor.extract
func.func @nested(%x: tensor<2xi1>) -> tensor<2xi1> {
  %i = arith.constant 0 : index
  %first = tensor.extract %x[%i] : tensor<2xi1>
  %0 = scf.while (%a = %x) : (tensor<2xi1>) -> tensor<2xi1> {
    %c = tensor.extract %a[%i] : tensor<2xi1>
    scf.condition(%c) %a : tensor<2xi1>
  } do {
  ^bb0(%a: tensor<2xi1>):
    %1 = scf.while (%b = %a) : (tensor<2xi1>) -> tensor<2xi1> {
      %c = tensor.extract %b[%i] : tensor<2xi1>
      scf.condition(%c) %b : tensor<2xi1>
    } do {
    ^bb0(%b: tensor<2xi1>):
      %n = "px.logical_not"(%b) : (tensor<2xi1>) -> tensor<2xi1>
      scf.yield %n : tensor<2xi1>
    }
    scf.yield %1 : tensor<2xi1>
  }
  return %0 : tensor<2xi1>
}
