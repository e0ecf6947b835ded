"""One cluster function being rewritten: what it says, its scratch memory, the emitter for its kind, its text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.schedules.chain import Chain
from phalanx.compiler.schedules.cluster import Carried, Cluster, Output, Source, Splat, View, copy_node
from phalanx.compiler.schedules.gemm import Gemm
from phalanx.compiler.schedules.loops import Fused
from phalanx.compiler.schedules.matvec import Combination, InnerProducts, suits_dots, suits_vector
from phalanx.compiler.schedules.opaque import InPlace
from phalanx.compiler.schedules.panels import Ahead, offered
from phalanx.compiler.schedules.product import Product, find_product
from phalanx.compiler.schedules.product_loops import ProductLoops
from phalanx.compiler.schedules.read import Reader
from phalanx.compiler.schedules.routine import Shared
from phalanx.compiler.schedules.text import Index
from phalanx.compiler.schedules.workspace import STACK_BYTES, Workspace, on_stack
from phalanx.compiler.targets.isa import Isa
from phalanx.dialects.records import replace
from phalanx.runtime.prepacked import Panels

_OWN_ATTRIBUTES = frozenset({"sym_name", "function_type", "arg_attrs", "sym_visibility"})


class Kernel:
    """A cluster function with the loops that will be its body.

    `loops` is None for opaque nests, which are emitted as they are; functions that several kernels call are kept in
    `shared`. `captured` are arguments that may be expected packed; `prepacked` says of one that it is, `ahead` of a
    matrix that the driver has packed before a loop.
    """

    def __init__(self, function: Any, isa: Isa, shared: Shared, captured: frozenset[int] = frozenset()) -> None:
        self.function = function
        self.isa = isa
        self.shared = shared
        self.captured = captured
        self.prepacked: Panels | None = None
        self.ahead: Ahead | None = None
        self.cluster = Reader(function).read()
        self.workspace = Workspace(self.cluster.workspace)
        self.loops: Fused | ProductLoops | Chain | None = None
        if self.cluster.kind == "chain":
            self.loops = Chain(self.cluster, self.workspace, isa, self._simple)
        elif self.cluster.outputs and not self.cluster.nests:
            self.loops = self._simple(self.cluster)

    def _simple(self, cluster: Cluster) -> Fused | ProductLoops:
        """The emitter of a cluster that is one loop nest, or one matrix product and what follows it."""
        return self._product(cluster) or Fused(cluster, self.workspace, self.isa)

    def _product(self, cluster: Cluster) -> ProductLoops | None:
        """The emitter of the cluster's matrix product, when it has one."""
        product = find_product(cluster, spread=cluster is self.cluster)
        if isinstance(product, Product):
            if not product.sums and not product.spread and not product.deep and suits_dots(product, self.isa):
                return InnerProducts(cluster, product, self.workspace, self.isa, self.shared)
            if cluster is not self.cluster:
                return Gemm(cluster, product, self.workspace, self.isa, self.shared)
            gemm = Gemm(cluster, product, self.workspace, self.isa, self.shared, self.captured, self.isa.cores,
                        offered(self.function))
            self.prepacked, self.ahead = gemm.prepacked, gemm.ahead
            return gemm
        if product is None or not suits_vector(product, self.isa):
            return None
        form = Combination if product.left.coefficients[product.free] == 1 else InnerProducts
        return form(cluster, product, self.workspace, self.isa, self.shared)

    @property
    def name(self) -> str:
        return self.cluster.name

    def emit(self, bounds: dict[int, tuple[Index, Index]] | None = None) -> None:
        """Writes the loops, or a part of them."""
        if self.loops is not None:
            self.loops.emit(bounds)
        else:
            _emit_nests(self.cluster, self.workspace)

    def arguments(self) -> list[tuple[str, str]]:
        """Names and types of all arguments but the workspace."""
        *arguments, _ = list(self.function.regions[0].blocks[0].arguments)
        return [(f"%p{number}", str(argument.type)) for number, argument in enumerate(arguments)]

    def text(
        self,
        name: str,
        attributes: dict[str, str],
        workspace_bytes: int = 0,
        extra: Sequence[tuple[str, str]] = (),
        first: Sequence[str] = (),
    ) -> str:
        """The function as text; `extra` arguments (name, type) come before the workspace, `first` lines before all others.

        A small workspace is on the function's stack, a larger one its caller's to provide.
        """
        cluster = self.cluster
        cluster.writer.location = cluster.location
        cluster.writer.line("func.return")
        notes = [""] * len(self.arguments())
        if "arg_attrs" in self.function.attributes:
            shown = [str(entry) for entry in ir.ArrayAttr(self.function.attributes["arg_attrs"])]
            notes = ["" if entry == "{}" else entry for entry in shown[:-1]]
        entries = [(*argument, note) for argument, note in zip(self.arguments(), notes, strict=True)]
        entries += [(*argument, "") for argument in extra]
        shared = any(kind == "memref<i8>" for _, kind in extra)
        workspace = cluster.workspace
        if 0 < workspace_bytes <= STACK_BYTES:
            first = [*on_stack(workspace, workspace_bytes), *first]
            workspace, workspace_bytes = "%unused", 0
        entries.append((workspace, "memref<i8>", "" if shared else "{llvm.noalias}"))
        signature = ", ".join(f"{argument}: {kind} {note} {cluster.location}" for argument, kind, note in entries)
        own = self.function.attributes
        kept = {key: str(own[key]) for key in own if key not in _OWN_ATTRIBUTES} | attributes
        kept["px.workspace"] = f"{workspace_bytes} : i64"
        pairs = ", ".join(f"{key} = {value}" for key, value in kept.items())
        head = f"func.func private @{name}({signature}) attributes {{{pairs}}} {{"
        lines = [head, *(f"{line} {cluster.location}" for line in first), cluster.writer.text(), f"}} {cluster.location}"]
        return "\n".join(lines)


def _emit_nests(cluster: Cluster, workspace: Workspace) -> None:
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
    Fused(replace(cluster, nodes=nodes, outputs=[Output(node.values[0], view, False)]), workspace).emit()
