"""Elementwise loops whose results are larger than the last cache: vectors that go past it, straight to memory.

An ordinary store to memory that no cache holds reads the line first. A result that cannot stay in a cache until somebody
reads it is therefore written with non-temporal stores, which LLVM makes only of vectors that are aligned:

    if the results are aligned: for i = low to main step lanes { vectors }    main = low otherwise
    for i = main to high { scalars }
"""

from __future__ import annotations

from collections.abc import Sequence

from phalanx.compiler.schedules.cluster import Cluster, Node, Operand, Splat, flat
from phalanx.compiler.schedules.domain import Access, Domain
from phalanx.compiler.schedules.nest import Nest
from phalanx.compiler.schedules.scalar import splat
from phalanx.compiler.schedules.text import Index
from phalanx.compiler.schedules.workspace import element_bytes
from phalanx.compiler.targets.isa import Isa

CHEAP = 4
"""Scalar ops per point up to which a line is written in two vectors: memory then answers a tenth faster (Zen 4)."""

SHORTEST = 256
"""Elements an innermost loop needs for the check of its alignment not to matter."""

OPS_PER_BYTE = 2
"""Scalar ops per byte moved from which arithmetic takes longer than memory, and a plain loop is as good."""

_LINE = 64
_WRITTEN = frozenset({"f32", "f64", "i32", "i64"})
_READ = _WRITTEN | {"i8"}


def stream_lanes(cluster: Cluster, domain: Domain, isa: Isa) -> int:
    """Elements of one vector when the cluster's results should go past the caches; 0 when not."""
    if not domain.sizes or True in domain.reduced or any(isinstance(size, str) for size in domain.sizes):
        return 0
    points = 1
    for size in domain.sizes:
        assert isinstance(size, int)
        points *= size
    if any(access.view.element not in (_WRITTEN if key[0] == "out" else _READ) for key, access in domain.accesses.items()):
        return 0
    written = [element_bytes(output.view.element) for output in cluster.outputs]
    if points * sum(written) <= isa.l3_bytes:
        return 0
    inner = domain.sizes[-1]
    assert isinstance(inner, int)
    if inner < SHORTEST or any(output.aliased for output in cluster.outputs) or domain.numbers:
        return 0
    for key, access in domain.accesses.items():
        if access.coefficients[-1] not in ((1,) if key[0] == "out" else (0, 1)):
            return 0
    cost = sum(node.body.cost for node in cluster.nodes)
    moved = sum(element_bytes(access.view.element) for access in domain.accesses.values()) + sum(written)
    if cost > OPS_PER_BYTE * moved or not all(node.body.widens for node in cluster.nodes):
        return 0
    return min(isa.vector_bits // 8, _LINE // 2 if cost <= CHEAP else _LINE) // min(written)


class Streams(Nest):
    """The nest of a cluster without reductions, its innermost loop in vectors of `lanes`."""

    lanes = 0
    wide = False

    def _plain_loops(self) -> None:
        *outer, inner = self.kept_loops
        self._loops(outer, lambda: self._stream(inner))

    def _stream(self, loop: int) -> None:
        low, high = self._range(loop)
        main = self.writer.add(low, self.writer.floor_to(self.writer.sub(high, low), self.lanes))
        aligned = self._aligned(loop, low)
        main = self.writer.pure(
            f"arith.select {aligned}, {self.writer.index(main)}, {self.writer.index(low)} : index",
            [aligned, *(bound for bound in (main, low) if isinstance(bound, str))],
        )

        def point(variable: str, _: list[str]) -> None:
            self.positions[loop] = variable
            self._plain_point()

        self.wide = True
        self.writer.loop(low, main, self.lanes, point)
        self.wide = False
        self.writer.loop(main, high, 1, point)
        self.positions[loop] = None
        # Other threads may read the results as soon as this one says that they are there.
        self.writer.line("llvm.fence seq_cst")

    def _aligned(self, loop: int, low: Index) -> str:
        """Whether the first vector of every result is aligned, and so all others are."""
        writer = self.writer
        self.positions[loop] = low
        checks = []
        for number, output in enumerate(self.cluster.outputs):
            view = output.view
            base = writer.pure(
                f"memref.extract_aligned_pointer_as_index {view.pointer} : memref<{view.element}> -> index", [view.pointer]
            )
            address = self.domain.accesses["out", number].address(writer, self.positions)
            place = writer.add(base, writer.mul(address, element_bytes(view.element)))
            rest = writer.sub(place, writer.floor_to(place, self._alignment(view.element)))
            checks.append(writer.compare("eq", rest, 0))
        self.positions[loop] = None
        together, *others = checks
        for check in others:
            together = writer.pure(f"arith.andi {together}, {check} : i1", [together, check])
        return together

    def _alignment(self, element: str) -> int:
        return min(self.lanes * element_bytes(element), _LINE)

    # -- one point ---------------------------------------------------------------------------------

    def _evaluate(self, node: Node, accumulators: Sequence[str] | None = None) -> list[str]:
        if not self.wide:
            return super()._evaluate(node, accumulators)
        self.writer.location, previous = node.location, self.writer.location
        arguments = [
            self._wide_operand(node, operand, number) if node.body.reads(number) else ""
            for number, operand in enumerate([*node.operands, *node.inits])
        ]
        results = node.body.inline_wide(self.writer, arguments, self.cluster.scalars, self.lanes)
        self.writer.location = previous
        return results

    def _wide_operand(self, node: Node, operand: Operand, number: int) -> str:
        found = self._operand(node, operand)
        if not isinstance(operand.source, Splat):
            return found
        body = node.body
        element = str(body.arguments[number].type) if body.arguments else node.values[0].element
        return splat(self.writer, found, element, self.lanes)

    def _load(self, access: Access) -> str:
        if not self.wide:
            return super()._load(access)
        element = access.view.element
        if access.coefficients[-1] == 0:
            return splat(self.writer, super()._load(access), element, self.lanes)
        memory, place = flat(self.writer, access.view), self.writer.index(access.address(self.writer, self.positions))
        text = f"vector.load {memory}[{place}] : memref<?x{element}>, vector<{self.lanes}x{element}>"
        if text not in self.memo:
            self.memo[text] = self.writer.value(text)
        found: str = self.memo[text]
        return found

    def _store(self, number: int, name: str) -> None:
        if not self.wide:
            super()._store(number, name)
            return
        access = self.domain.accesses["out", number]
        element = access.view.element
        memory, place = flat(self.writer, access.view), self.writer.index(access.address(self.writer, self.positions))
        how = f"{{nontemporal = true, alignment = {self._alignment(element)} : i64}}"
        kinds = f"memref<?x{element}>, vector<{self.lanes}x{element}>"
        self.writer.line(f"vector.store {name}, {memory}[{place}] {how} : {kinds}")
