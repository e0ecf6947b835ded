// RUN: phalanx-opt %s --split-input-file --px-cse --px-dce | FileCheck %s
// RUN: phalanx-opt --split-input-file --pass-pipeline='builtin.module(px-cse, func.func(canonicalize, cse), px-dce)' - < %s | FileCheck %s
// RUN: phalanx-opt %s --split-input-file --verify-diagnostics --cse
// RUN: phalanx-opt --show-passes | FileCheck %s --check-prefix=SHOW
// RUN: phalanx-opt --help | FileCheck %s --check-prefix=HELP
// RUN: phalanx-opt --version | FileCheck %s --check-prefix=VERSION

// SHOW: --px-cse {{.*}}merge equal
// SHOW: --px-dce
// HELP: usage: phalanx-opt
// VERSION: phalanx-opt {{.+}}, MLIR 22

// CHECK: @first
// CHECK-NEXT: px.exp
// CHECK-NEXT: px.add
func.func @first(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %1 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %2 = "px.add"(%0, %1) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %2 : tensor<4xf32>
}

// CHECK: {{^// -----}}
// -----

// CHECK: @second
func.func @second(%n: index) -> index {
  return %n : index
}
