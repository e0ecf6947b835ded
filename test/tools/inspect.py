# RUN: %phalanx ir %s:difference --stage px | FileCheck %s --check-prefix=PX
# RUN: %phalanx ir %s:difference --stage linalg --debug-info | FileCheck %s --check-prefix=LINES
# RUN: %phalanx ir %s:difference --stage all | FileCheck %s --check-prefix=ALL
# RUN: %phalanx ir %s:difference --stage linalg -o %t.mlir
# RUN: %python -c "import sys; p = sys.argv[1]; t = open(p).read(); open(p, 'w').write(t.replace('subf', 'addf'))" %t.mlir
# RUN: %phalanx ir %s:difference --stage linalg,llvm --replace linalg=%t.mlir | FileCheck %s --check-prefix=EDITED
# RUN: not %phalanx ir %s:difference --stage px --replace linalg=%t.mlir 2>&1 | FileCheck %s --check-prefix=BEFORE
# RUN: %phalanx ir %s:difference --stage linalg --emit-checks -o %t.checks
# RUN: %phalanx ir %s:difference --stage linalg | FileCheck %t.checks
# RUN: not %phalanx ir %s:difference --stage linlg 2>&1 | FileCheck %s --check-prefix=STAGE
# RUN: not %phalanx ir %s:differenc 2>&1 | FileCheck %s --check-prefix=NAME
# RUN: not %phalanx ir %s 2>&1 | FileCheck %s --check-prefix=FORM
# RUN: not %phalanx ir %s:difference --stage px -o /nowhere/x.mlir 2>&1 | FileCheck %s --check-prefix=WRITE
# RUN: %phalanx explain %s:difference | FileCheck %s --check-prefix=EXPLAIN
# RUN: %phalanx bisect %s:difference | FileCheck %s --check-prefix=BISECT
# RUN: %phalanx bench %s:difference %s:other --seconds 0.02 | FileCheck %s --check-prefix=BENCH
# RUN: not %phalanx bench %s:difference %s:wrong --seconds 0.02 2>&1 | FileCheck %s --check-prefix=WRONG


def difference(x: "f32[8]", y: "f32[8]"):  # noqa: F821
    return (x - y) * (x - y)


def other(x: "f32[8]", y: "f32[8]"):  # noqa: F821
    return x * x - 2.0 * x * y + y * y


def wrong(x: "f32[8]", y: "f32[8]"):  # noqa: F821
    return (x - y) + 1.0


# PX: // phalanx {{.*}}, MLIR {{.*}} px of difference
# PX: "px.subtract"(%arg0, %arg1)
# PX-NEXT: "px.multiply"(%0, %0)

# LINES: inspect.py":21:

# ALL: traced of difference
# ALL: linalg.generic
# ALL: llvm.func @main
# ALL: px_entry:

# EDITED: linalg of difference
# EDITED: arith.addf
# EDITED: llvm of difference
# EDITED-NOT: llvm.fsub
# EDITED: llvm.fadd

# BEFORE: error: --replace: px comes before linalg

# STAGE: error: no stage 'linlg'
# STAGE-NEXT: hint: did you mean linalg?

# NAME: hint: did you mean difference?

# FORM: error: target: expected FILE:FUNCTION or MODULE:FUNCTION

# WRITE: error: cannot write /nowhere/x.mlir: No such file or directory

# EXPLAIN: difference ({{.*}}inspect.py:
# EXPLAIN: clusters: 1
# EXPLAIN: elementwise of 2 operations
# EXPLAIN-NEXT: one loop nest over 8
# EXPLAIN-NEXT: inspect.py:21: return (x - y) * (x - y)
# EXPLAIN: why:
# EXPLAIN: inspect.py:21: fused with line 21
# EXPLAIN: arena: 0 bytes

# BISECT: px px-canonicalize {{ *}}right
# BISECT: all every pass {{ *}}right
# BISECT: difference: every result is right

# BENCH: name {{.*}}calls/s
# BENCH: difference
# BENCH: other

# WRONG: error: bench: {{.*}}wrong and {{.*}}difference disagree
