// Every operation keeps a line of the user's through all stages.

// RUN: phalanx-opt %s --stage=px --stage=linalg --mlir-print-debuginfo | FileCheck %s --implicit-check-not=unknown
// RUN: phalanx-opt %s --stage=px --stage=linalg --stage=clusters --mlir-print-debuginfo | FileCheck %s --implicit-check-not=unknown
// RUN: phalanx-opt %s --stage=px --stage=linalg --stage=clusters --stage=scheduled --mlir-print-debuginfo | FileCheck %s --implicit-check-not=unknown
// RUN: phalanx-opt %s --stage=px --stage=linalg --stage=clusters --stage=scheduled --stage=buffers --stage=llvm --mlir-print-debuginfo | FileCheck %s --implicit-check-not=unknown

// CHECK-DAG: loc("model.py":3:11)
// CHECK-DAG: loc("model.py":4:12)

module {
  func.func @main(%x: tensor<?x16xf32> {px.shape = ["n", 16]} loc("model.py":2:7)) -> tensor<?x16xf32> {
    %0 = "px.exp"(%x) : (tensor<?x16xf32>) -> tensor<?x16xf32> loc("model.py":3:11)
    %1 = "px.add"(%0, %x) : (tensor<?x16xf32>, tensor<?x16xf32>) -> tensor<?x16xf32> loc("model.py":4:12)
    return %1 : tensor<?x16xf32> loc("model.py":4:5)
  } loc("model.py":2:1)
} loc("model.py":2:1)
