"""Turns every cluster function of a module into loops on memory, in place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mlir import ir

from phalanx.compiler.schedules.cluster import Carried, Cluster, Output, Reader, Source, Splat, View, copy_node
from phalanx.compiler.schedules.domain import DomainBuilder
from phalanx.compiler.schedules.fused import plan_levels
from phalanx.compiler.schedules.gemm import Gemm, find_product
from phalanx.compiler.schedules.nest import Nest, scratch_possible
from phalanx.compiler.schedules.opaque import InPlace
from phalanx.compiler.schedules.workspace import Workspace
from phalanx.compiler.targets.isa import Isa


def schedule(module: ir.Module, isa: Isa, *, threads: bool) -> None:
    """Rewrites every function that carries `px.cluster` from array ops to loop nests, in place.

    `threads` allows loops that are worth it to be shared among threads (scf.parallel).
    """
    functions = [op for op in module.body.operations if "px.cluster" in op.attributes]
    if not functions:
        return
    texts: list[str] = []
    for function in functions:
        texts += schedule_function(function.operation, isa, threads)
    with module.context:
        written = ir.Module.parse("\n".join(texts))
        anchors = {ir.StringAttr(op.attributes["sym_name"]).value: op for op in functions}
        for op in list(written.body.operations):
            name = ir.StringAttr(op.attributes["sym_name"]).value
            anchor = anchors.pop(name, None)
            op.operation.move_before(anchor or functions[0])
            if anchor is not None:
                functions[functions.index(anchor)] = op
                anchor.operation.erase()


def schedule_function(function: Any, isa: Isa, threads: bool) -> list[str]:
    """The functions and globals that replace one cluster function, as MLIR text."""
    cluster = Reader(function).read()
    workspace = Workspace(cluster.workspace)
    product = find_product(cluster) if not cluster.nests else None
    if cluster.nests:
        emit_opaque(cluster, workspace)
    elif product is not None:
        Gemm(cluster, product, workspace, isa).emit()
    elif cluster.outputs:
        emit_fused(cluster, workspace)
    cluster.writer.line("func.return")
    return [*cluster.globals, function_text(function, cluster, workspace.bytes)]


def emit_fused(cluster: Cluster, workspace: Workspace) -> None:
    """One loop nest for everything in the cluster."""
    builder = DomainBuilder(cluster)
    domain = builder.build()
    plan = plan_levels(cluster, builder.placed, builder.reduced, scratch_possible(domain))
    Nest(cluster, domain, builder.placed, plan, workspace).emit()


def emit_opaque(cluster: Cluster, workspace: Workspace) -> None:
    """The loop nests of an opaque cluster, in the memory of its outputs."""
    walker = InPlace(cluster.writer, cluster.scalars, cluster.tensors)
    for nest in cluster.nests:
        carried = list(nest.operands)[3:] if nest.name == "scf.for" else list(nest.operands)
        for output in cluster.outputs:
            if isinstance(output.source, Carried) and output.source.nest == nest:
                init = carried[output.source.number]
                _start(cluster, workspace, cluster.tensors[init], output.view, str(nest.location))
                cluster.tensors[init] = output.view
        walker.emit(nest)


def _start(cluster: Cluster, workspace: Workspace, source: Source, view: View, location: str) -> None:
    """Puts the first version of a carried tensor into its buffer, unless it is there."""
    if source == view or (isinstance(source, Splat) and source.scalar is None):
        return
    node = copy_node(source, view, location)
    nodes = [*cluster.nodes, node]
    emit_fused(replace(cluster, nodes=nodes, outputs=[Output(node.values[0], view, False)]), workspace)


def function_text(function: Any, cluster: Cluster, workspace_bytes: int) -> str:
    """The cluster function with its new body: same name, signature and attributes."""
    arguments = list(function.regions[0].blocks[0].arguments)
    if "arg_attrs" in function.attributes:
        attributes = [str(entry) for entry in ir.ArrayAttr(function.attributes["arg_attrs"])]
    else:
        attributes = ["{}"] * len(arguments)
    attributes[-1] = "{llvm.noalias}"
    shown = ", ".join(
        f"%p{number}: {argument.type} {entry if entry != '{}' else ''} {cluster.location}"
        for number, (argument, entry) in enumerate(zip(arguments, attributes, strict=True))
    )
    kept = {
        name: str(function.attributes[name])
        for name in function.attributes
        if name not in ("sym_name", "function_type", "arg_attrs", "sym_visibility")
    }
    kept["px.workspace"] = f"{workspace_bytes} : i64"
    pairs = ", ".join(f"{name} = {value}" for name, value in kept.items())
    head = f"func.func private @{cluster.name}({shown}) attributes {{{pairs}}} {{"
    return f"{head}\n{cluster.writer.text()}\n}} {cluster.location}"
