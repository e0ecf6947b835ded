// phalanx 0.0.1, MLIR 17.0
// RUN: not phalanx-opt %s 2>&1 | FileCheck %s
// RUN: sed '1d' %s > %t.mlir
// RUN: not phalanx-opt %t.mlir 2>&1 | FileCheck %s --check-prefix=TODAY

// CHECK: error: syntax: {{.*}}px.bygone
// CHECK: note: the text was written by phalanx 0.0.1, MLIR 17.0
// TODAY: error: syntax: {{.*}}px.bygone
// TODAY-NOT: was written by
func.func @main() {
  "px.bygone"() : () -> ()
  return
}
