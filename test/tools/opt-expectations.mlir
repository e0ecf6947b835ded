// RUN: phalanx-opt %s --split-input-file --verify-diagnostics
// RUN: sed -e 's/undeclared/forgotten/' %s > %t.mlir
// RUN: not phalanx-opt %t.mlir --split-input-file --verify-diagnostics 2>&1 | FileCheck %s
// CHECK: error: not expected: syntax: use of undeclared SSA value name
// CHECK: error: expected but not seen at line {{.*}}: use of forgotten SSA value name

func.func @f() -> index {
  // expected-error @below {{use of undeclared SSA value name}}
  return %n : index
}

// -----

func.func @g(%n: index) -> f32 {
  // expected-error @+1 {{use of value '%n' expects different type}}
  return %n : f32
}

// -----

func.func @h(%n: index) -> index {
  return %n : index
}
