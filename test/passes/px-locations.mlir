// RUN: phalanx-opt %s --px-locations --mlir-print-debuginfo | FileCheck %s

// The constant takes the line of its first user; what has no user takes its function's.
// CHECK: #[[PARENT:.*]] = loc("model.py":1:1)
// CHECK: @f
// CHECK: arith.constant 1 : index loc(#[[USER:.*]])
// CHECK: arith.addi {{.*}} loc(#[[USER]])
// CHECK: return {{.*}} loc(#[[PARENT]])
// CHECK: #[[USER]] = loc("model.py":2:5)
// CHECK-NOT: unknown
module {
  func.func @f(%n: index loc("model.py":1:1)) -> index {
    %c = arith.constant 1 : index loc(unknown)
    %0 = arith.addi %n, %c : index loc("model.py":2:5)
    return %0 : index loc(unknown)
  } loc("model.py":1:1)
} loc("model.py":1:1)
