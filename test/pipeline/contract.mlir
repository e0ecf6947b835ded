// A stage that leaves what it should not says so at the user's line.

// RUN: not phalanx-opt %s --stage=buffers 2>&1 | FileCheck %s
// CHECK: error: buffers stage: px.exp is left
// CHECK-NEXT: --> model.py:3:11
// CHECK-NEXT: note: %0 = "px.exp"(%arg0)

module {
  func.func @main(%x: tensor<4xf32> loc("model.py":2:7)) -> tensor<4xf32> {
    %0 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32> loc("model.py":3:11)
    return %0 : tensor<4xf32> loc("model.py":4:5)
  } loc("model.py":2:1)
} loc("model.py":2:1)
