// RUN: phalanx-opt %s --px-verify --split-input-file --verify-diagnostics
// RUN: not phalanx-opt %s --px-verify --split-input-file 2>&1 | FileCheck %s

// The error shows the line, the operation and advice.
// CHECK: error: add: shapes do not broadcast, got [2] and [3]
// CHECK-NEXT: --> {{.*}}px-verify.mlir:[[#@LINE+10]]:8
// CHECK: |   %0 = "px.add"(%x, %y)
// CHECK-NEXT: |{{ +}}^
// CHECK-NEXT: note: %0 = "px.add"(%arg0, %arg1)
// CHECK: error: exp: the result is f32[2], got tensor<3xf32>
// CHECK: hint: write tensor<2xf32>
// CHECK-NOT: Traceback

func.func @shapes(%x: tensor<2xf32>, %y: tensor<3xf32>) -> tensor<2xf32> {
  // expected-error @below {{add: shapes do not broadcast, got [2] and [3]}}
  %0 = "px.add"(%x, %y) : (tensor<2xf32>, tensor<3xf32>) -> tensor<2xf32>
  return %0 : tensor<2xf32>
}

// -----

func.func @result(%x: tensor<2xf32>) -> tensor<3xf32> {
  // expected-error @below {{exp: the result is f32[2], got tensor<3xf32>}}
  %0 = "px.exp"(%x) : (tensor<2xf32>) -> tensor<3xf32>
  return %0 : tensor<3xf32>
}

// -----

func.func @dtypes(%x: tensor<2xf32>, %y: tensor<2xi32>) -> tensor<2xf32> {
  // expected-error @below {{add: operands have different dtypes}}
  %0 = "px.add"(%x, %y) : (tensor<2xf32>, tensor<2xi32>) -> tensor<2xf32>
  return %0 : tensor<2xf32>
}

// -----

func.func @axes(%x: tensor<2x3xf32>) -> tensor<3x2xf32> {
  // expected-error @below {{transpose: axes must name each axis of f32[2,3] once, got (0, 0)}}
  %0 = "px.transpose"(%x) {axes = array<i64: 0, 0>} : (tensor<2x3xf32>) -> tensor<3x2xf32>
  return %0 : tensor<3x2xf32>
}

// -----

func.func @attribute_of_another_kind(%x: tensor<2x3xf32>) -> tensor<3x2xf32> {
  // expected-error @below {{px.transpose: operands or attributes do not fit}}
  %0 = "px.transpose"(%x) {axes = 1 : i64} : (tensor<2x3xf32>) -> tensor<3x2xf32>
  return %0 : tensor<3x2xf32>
}

// -----

func.func @attribute_missing(%x: tensor<2x3xf32>) -> tensor<3x2xf32> {
  // expected-error @below {{syntax: 'px.transpose' op attribute "axes" is expected but not provided}}
  %0 = "px.transpose"(%x) : (tensor<2x3xf32>) -> tensor<3x2xf32>
  return %0 : tensor<3x2xf32>
}

// -----

// expected-error @below {{dtype: the px dialect has no element type i7}}
func.func @element_type(%x: tensor<2xi7>) -> tensor<2xi7> {
  %0 = "px.add"(%x, %x) : (tensor<2xi7>, tensor<2xi7>) -> tensor<2xi7>
  return %0 : tensor<2xi7>
}

// -----

// Named sizes come from the argument attributes; loops carry them.
func.func @names(%x: tensor<?x4xf32> {px.shape = ["n", 4]}) -> tensor<?x4xf32> {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %k = arith.constant 5 : index
  %0 = scf.for %i = %zero to %k step %one iter_args(%a = %x) -> (tensor<?x4xf32>) {
    %1 = "px.add"(%a, %x) : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
    scf.yield %1 : tensor<?x4xf32>
  }
  return %0 : tensor<?x4xf32>
}

// -----

func.func @inside(%x: tensor<4xf32>) -> tensor<4xf32> {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %k = arith.constant 5 : index
  %0 = scf.for %i = %zero to %k step %one iter_args(%a = %x) -> (tensor<4xf32>) {
    // expected-error @below {{add: the result is f32[4], got tensor<4xf64>}}
    %1 = "px.add"(%a, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf64>
    scf.yield %x : tensor<4xf32>
  }
  return %0 : tensor<4xf32>
}

// -----

// expected-error @below {{px functions take tensors only, got index}}
func.func @scalar(%n: index, %x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

// Axes and sizes have the form calls give them, or nothing after this pass could rely on them.

func.func @axes(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {
  // expected-error @below {{reverse: axes are different numbers from 0 to 1, got (99999999999, 1)}}
  %0 = "px.reverse"(%x) {axes = array<i64: 99999999999, 1>} : (tensor<3x4xf32>) -> tensor<3x4xf32>
  return %0 : tensor<3x4xf32>
}

// -----

func.func @negative_axis(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {
  // expected-error @below {{cumulative: axis are different numbers from 0 to 1, got (-1,)}}
  %0 = "px.cumulative"(%x) {axis = -1 : i64, combine = "add", reverse = false} : (tensor<3x4xf32>) -> tensor<3x4xf32>
  return %0 : tensor<3x4xf32>
}

// -----

func.func @negative_size(%x: tensor<f32>) -> tensor<4xf32> {
  // expected-error @below {{full: shape cannot be negative, got (-4,)}}
  %0 = "px.full"(%x) {shape = array<i64: -4>} : (tensor<f32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
