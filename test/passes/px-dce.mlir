// RUN: phalanx-opt %s --px-dce | FileCheck %s

// CHECK-LABEL: @chain
// CHECK-NEXT: return
func.func @chain(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %1 = "px.exp"(%0) : (tensor<4xf32>) -> tensor<4xf32>
  return %x : tensor<4xf32>
}

// CHECK-LABEL: @used
// CHECK: px.exp
func.func @used(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// A whole loop goes, its bounds with it.
// CHECK-LABEL: @loop
// CHECK-NEXT: return
func.func @loop(%x: tensor<4xf32>, %n: index) -> tensor<4xf32> {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %0 = scf.for %i = %zero to %n step %one iter_args(%a = %x) -> (tensor<4xf32>) {
    %1 = "px.exp"(%a) : (tensor<4xf32>) -> tensor<4xf32>
    scf.yield %1 : tensor<4xf32>
  }
  return %x : tensor<4xf32>
}

// What nobody uses inside a loop that stays.
// CHECK-LABEL: @inside
// CHECK: scf.for
// CHECK-NEXT: px.negative
// CHECK-NEXT: scf.yield
func.func @inside(%x: tensor<4xf32>, %n: index) -> tensor<4xf32> {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %0 = scf.for %i = %zero to %n step %one iter_args(%a = %x) -> (tensor<4xf32>) {
    %1 = "px.exp"(%a) : (tensor<4xf32>) -> tensor<4xf32>
    %2 = "px.negative"(%a) : (tensor<4xf32>) -> tensor<4xf32>
    scf.yield %2 : tensor<4xf32>
  }
  return %0 : tensor<4xf32>
}

// A call may do anything, and so may the loop around it.
// CHECK-LABEL: @effect
// CHECK: scf.for
// CHECK: call @px_host_0
func.func private @px_host_0(tensor<4xf32>)
func.func @effect(%x: tensor<4xf32>, %n: index) -> tensor<4xf32> {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  scf.for %i = %zero to %n step %one {
    func.call @px_host_0(%x) : (tensor<4xf32>) -> ()
  }
  return %x : tensor<4xf32>
}
