"""What follows a product in its cluster: the fused ops, over a block of its results while they are in the cache."""

from __future__ import annotations

from collections.abc import Mapping

from phalanx.compiler.schedules.cluster import Cluster, Node, Value
from phalanx.compiler.schedules.domain import Access, Domain
from phalanx.compiler.schedules.fused import Key, Plan
from phalanx.compiler.schedules.nest import Nest
from phalanx.compiler.schedules.product import Contracted
from phalanx.compiler.schedules.text import Index
from phalanx.compiler.schedules.workspace import Workspace
from phalanx.dialects.records import replace


def holder(cluster: Cluster, product: Contracted, along: int | None = None) -> Access | None:
    """An output whose memory can collect sums: of their element type, side by side `along` a loop, nobody's input."""
    found = None
    for number, output in enumerate(cluster.outputs):
        access = product.domain.accesses["out", number]
        fits = output.view.element == product.element and not output.aliased
        if fits and (along is None or access.coefficients[along] == 1):
            if isinstance(output.source, Value) and output.source.node is product.node:
                return access
            found = found or access
    return found


def nothing_follows(cluster: Cluster, product: Contracted) -> bool:
    """Whether the sums, once they stand in the memory of a result, are all that is wanted."""
    whole = product.node.values[0].element == product.element
    return whole and len(cluster.nodes) == len(cluster.outputs) == 1 and product.starts_at_zero(cluster.writer)


class FollowingNest(Nest):
    """A nest that finds the product's value in memory, and adds what the product started from.

    `results` says where the sums stand, `bounds` which part of each loop of the result is wanted, outermost first.
    """

    def __init__(
        self,
        cluster: Cluster,
        product: Contracted,
        workspace: Workspace,
        results: Access,
        bounds: Mapping[int, tuple[Index, Index]],
    ) -> None:
        self.product = product
        loops = list(bounds)

        def narrow(access: Access) -> Access:
            return replace(access, coefficients=[access.coefficients[loop] for loop in loops])

        domain = Domain(
            [product.domain.sizes[loop] for loop in loops],
            [False] * len(loops),
            [product.domain.groups[loop] for loop in loops],
            {key: narrow(access) for key, access in product.domain.accesses.items()},
        )
        nodes = [node for node in cluster.nodes if node is not product.node]
        plan = Plan(dict.fromkeys(nodes, 0), set(nodes), 0, dict.fromkeys(range(len(cluster.outputs)), 0))
        external = {product.node.values[0].key: narrow(results)}
        rest = replace(cluster, nodes=nodes)
        super().__init__(rest, domain, product.placed, plan, workspace, dict(enumerate(bounds.values())), external)

    def _value(self, key: tuple[Node, int]) -> str:
        value = super()._value(key)
        if key[0] is not self.product.node:
            return value
        if (key, "sum") not in self.memo:
            self.memo[key, "sum"] = self._sum(key, value)
        total: str = self.memo[key, "sum"]
        return total

    def _sum(self, key: Key, value: str) -> str:
        (kept,) = self.product.node.values
        element = self.product.element
        if kept.element != element:
            value = self.writer.value(f"arith.trunci {value} : {element} to {kept.element}")
        if self.product.starts_at_zero(self.writer):
            return value
        (init,) = self._inits(key[0])
        operation = "arith.addf" if element[0] == "f" else "arith.addi"
        return self.writer.value(f"{operation} {value}, {init} : {kept.element}")
