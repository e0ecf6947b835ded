// Bad input gives a diagnostic and exit code 1, never a traceback.

// RUN: not phalanx-opt %s --px-cse 2>&1 | FileCheck %s --check-prefix=SYNTAX
// SYNTAX: error: syntax: use of undeclared SSA value name
// SYNTAX-NEXT: --> {{.*}}opt-errors.mlir:[[#@LINE+33]]:17
// SYNTAX: {{^}}[[#@LINE+32]] |   %0 = "px.exp"(%unknown)
// SYNTAX-NEXT: |{{ +}}^
// SYNTAX-NOT: Traceback

// RUN: not phalanx-opt %s --px-cze 2>&1 | FileCheck %s --check-prefix=SYNTAX

// RUN: echo 'module {}' > %t.mlir
// RUN: not phalanx-opt %t.mlir --px-cze 2>&1 | FileCheck %s --check-prefix=PASS
// PASS: error: pipeline: unknown pass 'px-cze'
// PASS-NEXT: hint: did you mean {{.*}}px-cse

// RUN: not phalanx-opt %t.mlir --px-cse=depth=3 2>&1 | FileCheck %s --check-prefix=OPTION
// OPTION: error: pass px-cse: unknown option 'depth'

// RUN: not phalanx-opt %t.mlir --pass-pipeline='func.func(px-cse)' 2>&1 | FileCheck %s --check-prefix=NESTED
// NESTED: error: pipeline: px-cse is a module pass, got it inside func.func(...)
// NESTED-NEXT: hint: write it beside, not inside: px-cse,func.func(...)

// RUN: not phalanx-opt %t.mlir --pass-pipeline='func.fun(cse)' 2>&1 | FileCheck %s --check-prefix=ANCHOR
// ANCHOR: error: pipeline: 'func.fun' is not an operation a pass can be nested in

// RUN: not phalanx-opt %t.mlir --stage=linagl 2>&1 | FileCheck %s --check-prefix=STAGE
// STAGE: error: pipeline: no stage 'linagl'
// STAGE-NEXT: hint: did you mean linalg?

// RUN: not phalanx-opt %t.nowhere 2>&1 | FileCheck %s --check-prefix=FILE
// FILE: error: phalanx-opt: cannot read {{.*}}: No such file or directory

// RUN: not phalanx-opt %t.mlir -o %t.nowhere/out.mlir 2>&1 | FileCheck %s --check-prefix=OUTPUT
// OUTPUT: error: phalanx-opt: cannot write {{.*}}: No such file or directory

func.func @f() -> tensor<4xf32> {
  %0 = "px.exp"(%unknown) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
