"""Whole random programs through clusters, schedules and machine code, alone and in parts, against NumPy."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlir import ir

from phalanx.compiler.context import context
from phalanx.compiler.pipeline.stages import cpu_stages, run_stages
from phalanx.compiler.schedules import sharing
from phalanx.compiler.targets.cpu import CpuTarget, add_entry
from phalanx.runtime.jit import load

sys.path.insert(0, str(Path(__file__).parent))
from cluster_fuzz import RandomProgram
from cluster_runner import Compiled


class Scheduled(Compiled):
    """A program compiled with the project's own schedules."""

    def __init__(self, text: str, *, parallel: bool) -> None:
        with context(), ir.Location.unknown():
            module = ir.Module.parse(text)
            stages = cpu_stages(threads=parallel)
            run_stages(module, stages, first="clusters", last="clusters")
            main = next(op for op in module.body.operations if str(op.attributes["sym_name"]) == '"main"')
            inputs, self.results = (ir.IntegerAttr(main.attributes[k]).value for k in ("px.inputs", "px.results"))
            dims = len(main.arguments) - inputs - self.results - 1
            run_stages(module, stages, first="scheduled")
            add_entry(module, inputs=inputs, results=self.results, dims=dims)
            artifact = CpuTarget().finish(module)
        self.loaded = load(artifact.object)
        self.entry = self.loaded.function("px_entry", ctypes.c_int32, *[ctypes.c_void_p] * 3)
        self.arena_bytes = self.loaded.function("px_arena_bytes", ctypes.c_int64, ctypes.c_void_p)


def check(program: RandomProgram, compiled: Compiled) -> None:
    shapes: list[tuple[Any, Any]] = [(np.shape(x), np.asarray(x).dtype) for x in program.expected]
    for ours, theirs in zip(compiled(program.inputs, shapes, program.dims), program.expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_random_program(seed: int, dynamic: bool) -> None:
    program = RandomProgram(seed, 20, dynamic)
    check(program, Scheduled(program.source, parallel=False))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("seed", range(6, 10))
def test_random_program_with_every_cluster_in_parts(seed: int, dynamic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "THRESHOLD", 0)
    program = RandomProgram(seed, 20, dynamic)
    check(program, Scheduled(program.source, parallel=True))
