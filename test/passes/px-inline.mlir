// RUN: phalanx-opt %s --px-inline | FileCheck %s

// Calls of calls, in loops too; the functions go, host functions (without a body) stay.
// CHECK-LABEL: @main
// CHECK: %[[S:.*]] = "px.multiply"(%arg0, %arg0)
// CHECK: scf.for {{.*}} iter_args(%[[A:.*]] = %[[S]])
// CHECK-NEXT: %[[T:.*]] = "px.multiply"(%[[A]], %[[A]])
// CHECK-NEXT: %[[E:.*]] = "px.exp"(%[[T]])
// CHECK-NEXT: func.call @px_host_0(%[[E]])
// CHECK-NEXT: scf.yield %[[E]]
// CHECK-NOT: @outer
// CHECK-NOT: @square
// CHECK: func.func private @px_host_0
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = call @square(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %three = arith.constant 3 : index
  %1 = scf.for %i = %zero to %three step %one iter_args(%a = %0) -> (tensor<4xf32>) {
    %2 = func.call @outer(%a) : (tensor<4xf32>) -> tensor<4xf32>
    func.call @px_host_0(%2) : (tensor<4xf32>) -> ()
    scf.yield %2 : tensor<4xf32>
  }
  return %1 : tensor<4xf32>
}

func.func private @outer(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = call @square(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %1 = "px.exp"(%0) : (tensor<4xf32>) -> tensor<4xf32>
  return %1 : tensor<4xf32>
}

func.func private @square(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "px.multiply"(%x, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

func.func private @px_host_0(tensor<4xf32>)
