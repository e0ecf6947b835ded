# An error while tracing: what is wrong, the user's line with a caret, a hint. Our frames are not shown.
# RUN: not %python %s 2>&1 | FileCheck %s

import numpy as np

import phalanx as px


@px.defn
def model(x, y):
    z = px.exp(x)
    return z + y


# CHECK: model(np.ones(2), np.ones(3))
# CHECK-NOT: compiler/
# CHECK: return z + y
# CHECK: ShapeError: add: shapes do not broadcast, got [2] and [3]
# CHECK: --> {{.*}}shapes.py:12
# CHECK: 12 |     return z + y
# CHECK-NEXT: |            ^
model(np.ones(2), np.ones(3))
