"""An interrupt at any moment of the first call leaves an interpreter in which the next call works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys
import numpy as np
import phalanx as px

def alarm(number, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, alarm)
try:
    signal.setitimer(signal.ITIMER_REAL, float(sys.argv[1]))
    px.jit(lambda x: px.sum(px.sin(x) @ x))(np.ones((8, 8), np.float32))
    signal.setitimer(signal.ITIMER_REAL, 0)
except KeyboardInterrupt:
    print("interrupted")
print(px.jit(lambda x: x + 1)(np.ones(2, np.float32)), np.asarray(px.ones(2) + px.ones(2)))
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
@pytest.mark.parametrize("seconds", [0.002, 0.02, 0.05, 0.1, 0.2])
def test_interrupted_first_call(seconds: float) -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM, str(seconds)], capture_output=True, text=True, timeout=120,
                         env={**os.environ}, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "px.Tensor([2. 2.], dtype=float32) [2. 2.]" in ran.stdout


def test_signals_wait_in_order_and_handlers_come_back() -> None:
    from phalanx.compiler.mlir_loading import signals_held

    seen: list[str] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append("handler"))
    try:
        with signals_held():
            signal.raise_signal(signal.SIGUSR1)
            seen.append("inside")
        assert seen == ["inside", "handler"]
        signal.raise_signal(signal.SIGUSR1)
        assert seen[-2:] == ["handler", "handler"]
    finally:
        signal.signal(signal.SIGUSR1, before)
