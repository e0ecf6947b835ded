"""Runs a linalg module: clusters stage, then upstream lowering only, JIT, and a call with a poisoned arena.

The clusters are lowered without the project's own schedules, so a wrong result is the clusters stage's fault.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from mlir import ir
from mlir.passmanager import PassManager

from phalanx.compiler.clusters.stage import ClusterReport, form_clusters
from phalanx.compiler.context import context
from phalanx.compiler.pipeline.stages import cpu_stages, run_stages
from phalanx.compiler.targets.cpu import CpuTarget, add_entry
from phalanx.runtime.jit import load

_TO_LOOPS = "one-shot-bufferize,convert-bufferization-to-memref"
_TO_LLVM = (
    "convert-linalg-to-loops,canonicalize,cse,lower-affine,convert-scf-to-cf,memref-expand,expand-strided-metadata,lower-affine,"
    "convert-math-to-llvm,convert-math-to-libm,convert-index-to-llvm,convert-arith-to-llvm,convert-ub-to-llvm,finalize-memref-to-llvm,"
    "convert-func-to-llvm{use-bare-ptr-memref-call-conv=1},convert-cf-to-llvm,reconcile-unrealized-casts"
)


def clustered(text: str, fuse: bool = True) -> tuple[Any, ClusterReport]:
    """The module after the stage (call inside `context()`)."""
    module = ir.Module.parse(text)
    module.operation.verify()
    report = form_clusters(module, fuse=fuse)
    module.operation.verify()
    return module, report


def _strided_copies_to_linalg(module: Any) -> None:
    """`memref.copy` with strides would call a runtime library."""
    found: list[Any] = []

    def visit(op: Any) -> Any:
        if op.name == "memref.copy":
            found.append(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for op in found:
        with ir.InsertionPoint(op), op.location:
            element = ir.MemRefType(op.operands[0].type).element_type
            rank = ir.MemRefType(op.operands[0].type).rank
            identity = ir.AffineMapAttr.get(ir.AffineMap.get_identity(rank))
            parallel = ir.Attribute.parse("#linalg.iterator_type<parallel>")
            copy = ir.Operation.create(
                "linalg.generic",
                operands=list(op.operands),
                attributes={
                    "indexing_maps": ir.ArrayAttr.get([identity, identity]),
                    "iterator_types": ir.ArrayAttr.get([parallel] * rank),
                    "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1]),
                },
                regions=1,
            )
            block = copy.regions[0].blocks.append(element, element, arg_locs=[op.location] * 2)
            with ir.InsertionPoint(block):
                ir.Operation.create("linalg.yield", operands=[block.arguments[0]])
        op.erase()


def _lower_with_upstream_only(module: Any) -> None:
    PassManager.parse(f"builtin.module({_TO_LOOPS})").run(module.operation)
    _strided_copies_to_linalg(module)
    PassManager.parse(f"builtin.module({_TO_LLVM})").run(module.operation)


class Compiled:
    """A program ready to be called on NumPy arrays.

    Upstream lowering computes every result of a cluster before it stores any, so only the real schedules
    (`scheduled=True`) show whether an output that overwrites an input does so safely.
    """

    def __init__(self, text: str, fuse: bool = True, scheduled: bool = False) -> None:
        with context(), ir.Location.unknown():
            module, self.report = clustered(text, fuse)
            self.text = str(module)
            main = next(op for op in module.body.operations if str(op.attributes["sym_name"]) == '"main"')
            inputs, self.results = (ir.IntegerAttr(main.attributes[k]).value for k in ("px.inputs", "px.results"))
            dims = len(main.arguments) - inputs - self.results - 1
            if scheduled:
                run_stages(module, cpu_stages(threads=False), first="scheduled")
            else:
                _lower_with_upstream_only(module)
            add_entry(module, inputs=inputs, results=self.results, dims=dims)
            artifact = CpuTarget(passes="default<O2>" if scheduled else "").finish(module)
        self.calls: list[tuple[int, list[int]]] = []
        self.host: Any = None
        signature = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.POINTER(ctypes.c_void_p))
        self._callback = signature(lambda site, buffers: self.host(site, buffers))
        symbols = {"px_host_call": ctypes.cast(self._callback, ctypes.c_void_p).value or 0}
        self.loaded = load(artifact.object, symbols if "px_host_call" in artifact.undefined else {})
        self.entry = self.loaded.function("px_entry", ctypes.c_int32, *[ctypes.c_void_p] * 3)
        self.arena_bytes = self.loaded.function("px_arena_bytes", ctypes.c_int64, ctypes.c_void_p)

    def __call__(
        self, inputs: Sequence[Any], outputs: Sequence[tuple[tuple[int, ...], Any]], dims: Sequence[int] = ()
    ) -> list[Any]:
        """Results for the given output shapes and dtypes; inputs must come out untouched."""
        arrays = [np.ascontiguousarray(x) for x in inputs]
        before = [x.copy() for x in arrays]
        sizes = (ctypes.c_int64 * max(1, len(dims)))(*dims)
        need = self.arena_bytes(sizes)
        guard = 64
        backing = np.full(need + 64 + 2 * guard, 0xFF, np.uint8)
        start = -backing.ctypes.data % 64 + guard
        results: list[Any] = []
        for _ in range(2):  # the second call meets what the first left in the arena
            results = [np.full(shape, 0x7F, np.uint8).astype(dtype) for shape, dtype in outputs]
            pointers = (ctypes.c_void_p * (len(arrays) + len(results)))(
                *[x.ctypes.data for x in arrays], *[x.ctypes.data for x in results]
            )
            assert self.entry(pointers, sizes, backing.ctypes.data + start) == 0
        assert (backing[:start] == 0xFF).all() and (backing[start + need :] == 0xFF).all(), "wrote outside the arena"
        for x, y in zip(arrays, before, strict=True):
            assert x.tobytes() == y.tobytes(), "an input was overwritten"
        return results


def check(
    text: str,
    inputs: Sequence[Any],
    expected: Sequence[Any],
    dims: Sequence[int] = (),
    rtol: float = 1e-5,
    scheduled: bool = False,
) -> Compiled:
    """Compare clustered and unclustered (and scheduled) results with NumPy's; returns the clustered program."""
    programs = [Compiled(text), Compiled(text, fuse=False)]
    programs += [Compiled(text, scheduled=True)] if scheduled else []
    for program in programs:
        got = program(inputs, [(np.shape(x), np.asarray(x).dtype) for x in expected], dims)
        for ours, theirs in zip(got, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol)
    return programs[0]
