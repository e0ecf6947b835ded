# A branch on a traced tensor names the construct to use.
# RUN: not %python %s 2>&1 | FileCheck %s

import phalanx as px


@px.defn
def relu(x):
    if x > 0:
        return x
    return 0 * x


# CHECK: TraceError: the truth value of a traced tensor: Tracer<bool[]> has no value while the function is traced
# CHECK: --> {{.*}}branch.py:9
# CHECK: 9 |     if x > 0:
# CHECK: hint: use px.where(condition, a, b), px.cond(condition, true_fn, false_fn, *operands)
relu(1.0)
