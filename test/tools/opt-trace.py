# RUN: phalanx-opt --trace=%s:doubled --arg=x=f32[4] | FileCheck %s
# RUN: phalanx-opt --trace %s:doubled --arg x=f32[4] --stage=px --stage=linalg | FileCheck %s --check-prefix=LINALG
# RUN: phalanx-opt --trace=%s:annotated --mlir-print-debuginfo | FileCheck %s --check-prefix=ANNOTATED
# RUN: not phalanx-opt --trace=%s:double 2>&1 | FileCheck %s --check-prefix=NEAR
# RUN: not phalanx-opt --trace=%s:doubled 2>&1 | FileCheck %s --check-prefix=SPEC
# RUN: not phalanx-opt --trace=%s:doubled --arg=y=f32[4] 2>&1 | FileCheck %s --check-prefix=ARG
# RUN: not phalanx-opt --arg=y=f32[4] 2>&1 | FileCheck %s --check-prefix=ALONE
# RUN: phalanx-opt --show-dialect | FileCheck %s --check-prefix=DIALECT
# RUN: phalanx-opt --trace=%s:doubled --arg=x=f32[4] --px-cse --mlir-print-ir-after-all 2>&1 \
# RUN:   | FileCheck %s --check-prefix=AFTER


def doubled(x):
    return x + x


def annotated(x: "f32[2]"):  # noqa: F821
    return doubled(x)


# CHECK: func.func @main(%arg0: tensor<4xf32>
# CHECK-NEXT: "px.add"(%arg0, %arg0)

# LINALG: linalg.generic
# LINALG-NOT: "px.

# ANNOTATED: tensor<2xf32>
# ANNOTATED: opt-trace.py":14:

# NEAR: error: target: {{.*}} has no 'double'
# NEAR-NEXT: hint: did you mean doubled?

# SPEC: error: doubled: no spec for x
# SPEC-NEXT: hint: --arg x=f32[8]

# ARG: error: --arg: doubled has no argument 'y'

# ALONE: error: phalanx-opt: --arg goes with --trace=FILE:FUNCTION

# DIALECT: irdl.dialect @px
# DIALECT: irdl.operation @add

# AFTER: // -----// IR Dump After px-cse (px-cse) //----- //
