# Use after donation names the argument and the function that took it.
# RUN: not %python %s 2>&1 | FileCheck %s

import numpy as np

import phalanx as px


@px.jit
def helper(x):
    return x


step = px.jit(lambda x: x + 1, donate=("x",), name="step")
x = px.asarray(np.ones(4, np.float32))
step(x)
# A repr says so instead of raising.
# CHECK: px.Tensor(<argument 'x' of 'step' was donated at {{.*}}donated.py:16:1-8>, shape=(4,), dtype=float32)
print(x)
# CHECK: DeviceError: {{.*}}'x' of 'step' was donated
helper(x)
