// What the generated dialect file refuses, without any Python of ours: unknown ops, wrong numbers of operands and
// results, operands that are no tensors, attributes that are missing.
// REQUIRES: mlir-opt
// RUN: not mlir-opt --irdl-file=%S/../../dialects/px.irdl.mlir --split-input-file %s 2>&1 | FileCheck %s

// CHECK: unregistered operation 'px.ad'
func.func @unknown(%x: tensor<4xf32>) {
  %0 = "px.ad"(%x, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

// CHECK: error: op expects exactly 2 operands, but got 1
func.func @too_few(%x: tensor<4xf32>) {
  %0 = "px.add"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

// CHECK: error: op expects exactly 1 results, but got 2
func.func @two_results(%x: tensor<4xf32>) {
  %0:2 = "px.add"(%x, %x) : (tensor<4xf32>, tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>)
  return
}

// -----

// CHECK: error: expected base type 'builtin.tensor' but got 'builtin.f32'
func.func @no_tensor(%x: f32) {
  %0 = "px.exp"(%x) : (f32) -> tensor<f32>
  return
}

// -----

// CHECK: 'px.sum' op attribute "axes" is expected but not provided
func.func @missing_attribute(%x: tensor<4xf32>) {
  %0 = "px.sum"(%x) {dtype, keepdims = false} : (tensor<4xf32>) -> tensor<f32>
  return
}
