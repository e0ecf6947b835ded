"""px-form-clusters: linalg on tensors becomes cluster functions and a driver.

    func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> { linalg.generic ..., linalg.generic ... }

becomes one `func.func private @ew_L3_0(...) attributes {px.cluster = "elementwise"}` that holds both ops,
and a `@main` on pointers that calls it with the caller's buffers and offsets into one arena.
"""

from __future__ import annotations

from mlir import ir

from phalanx.compiler.clusters.stage import form_clusters as run_stage
from phalanx.compiler.pipeline.registry import pass_


@pass_("px-form-clusters", "group ops into cluster functions, rewrite main as their driver")
def form_clusters(module: ir.Module, *, fuse: bool = True) -> None:
    """`fuse=false` keeps every op in a cluster of its own."""
    run_stage(module, fuse=fuse)
