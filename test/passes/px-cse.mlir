// RUN: phalanx-opt %s --px-cse | FileCheck %s

// CHECK-LABEL: @equal
// CHECK: %[[E:.*]] = "px.exp"(%arg0)
// CHECK-NOT: px.exp
// CHECK: "px.add"(%[[E]], %[[E]])
func.func @equal(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %1 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %2 = "px.add"(%0, %1) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %2 : tensor<4xf32>
}

// Equal after what they use has become equal.
// CHECK-LABEL: @chain
// CHECK-COUNT-2: px.exp
// CHECK-NOT: px.exp
func.func @chain(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %0 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %1 = "px.exp"(%0) : (tensor<4xf32>) -> tensor<4xf32>
  %2 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %3 = "px.exp"(%2) : (tensor<4xf32>) -> tensor<4xf32>
  return %1, %3 : tensor<4xf32>, tensor<4xf32>
}

// Operand order and result types matter.
// CHECK-LABEL: @different
// CHECK-COUNT-2: px.subtract
func.func @different(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %0 = "px.subtract"(%x, %y) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %1 = "px.subtract"(%y, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %0, %1 : tensor<4xf32>, tensor<4xf32>
}

// A branch uses the value from outside; nothing comes out of a branch or crosses to its sibling.
// CHECK-LABEL: @regions
// CHECK: %[[OUT:.*]] = "px.exp"(%arg1)
// CHECK: scf.if
// CHECK-NEXT: %[[IN:.*]] = "px.negative"(%[[OUT]])
// CHECK-NEXT: scf.yield %[[IN]]
// CHECK: else
// CHECK-NEXT: %[[IN2:.*]] = "px.negative"(%[[OUT]])
// CHECK-NEXT: scf.yield %[[IN2]]
// CHECK: "px.negative"(%[[OUT]])
func.func @regions(%c: i1, %x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %0 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %1 = scf.if %c -> (tensor<4xf32>) {
    %2 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32>
    %3 = "px.negative"(%2) : (tensor<4xf32>) -> tensor<4xf32>
    scf.yield %3 : tensor<4xf32>
  } else {
    %2 = "px.negative"(%0) : (tensor<4xf32>) -> tensor<4xf32>
    scf.yield %2 : tensor<4xf32>
  }
  %4 = "px.negative"(%0) : (tensor<4xf32>) -> tensor<4xf32>
  return %1, %4 : tensor<4xf32>, tensor<4xf32>
}
