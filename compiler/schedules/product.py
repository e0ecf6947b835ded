"""Which clusters are matrix products: the contraction seen as rows x columns x depth, with loops around it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from phalanx.compiler.schedules.cluster import Cluster, Node, Splat, View
from phalanx.compiler.schedules.domain import Access, Domain, DomainBuilder, operand_key
from phalanx.compiler.schedules.text import Index, Writer

_WIDENED = {"f16": "f32", "bf16": "f32", "i8": "i32", "i16": "i32"}
_SUMMED_IN = ("f32", "f64", "i32", "i64")
_MULTIPLY_ADD = frozenset({("arith.mulf", "arith.addf"), ("arith.muli", "arith.addi")})
_ZEROS = frozenset({"0.000000e+00", "0"})


@dataclass
class Product:
    """A contraction seen as batches of matrix products over loops of a domain.

    `left` has the rows, `right` the columns. `element` is what sums are held in; the operands may be narrower.
    """

    node: Node
    domain: Domain
    placed: dict[Node, list[int | None]]
    left: Access
    right: Access
    outer: list[int]
    rows: int
    columns: int
    depth: int
    element: str

    def turned(self) -> Product:
        """The transposed product: rows and columns change places."""
        return replace(self, left=self.right, right=self.left, rows=self.columns, columns=self.rows)

    def starts_at_zero(self, writer: Writer) -> bool:
        """Whether sums start from the constant 0 (not from another tensor)."""
        (init,) = self.node.inits
        if not isinstance(init.source, Splat) or init.source.scalar is None:
            return False
        text = writer.constant_text(init.source.scalar)
        return text is not None and text.split(" ")[0] in _ZEROS


def find_product(cluster: Cluster) -> Product | None:
    """The cluster's contraction as a matrix product; None when loops serve it better."""
    reductions = [node for node in cluster.nodes if node.is_reduction]
    if len(reductions) != 1:
        return None
    (node,) = reductions
    element = summed_in(node)
    if element is None or not all(isinstance(operand.source, View) for operand in node.operands):
        return None
    builder = DomainBuilder(cluster)
    left, right = (builder.accesses[operand_key(node, operand)] for operand in node.operands)
    for dim, gone in enumerate(builder.reduced):
        in_left, in_right = left.coefficients[dim] != 0, right.coefficients[dim] != 0
        if gone:
            builder.roles[dim] = "depth" if in_left and in_right else "broken"
        else:
            builder.roles[dim] = {(True, False): "rows", (False, True): "columns"}.get((in_left, in_right), "batch")
    dims = [dim for dim, size in enumerate(builder.sizes) if size != 1]
    ranked = ["batch", "rows", "columns", "depth", "broken"]
    order = sorted(dims, key=lambda dim: (ranked.index(builder.roles[dim]), dim))
    domain = builder.build(order)
    roles = [builder.roles[group[0]] for group in domain.groups]
    if roles.count("depth") != 1 or "broken" in roles or "rows" not in roles or "columns" not in roles:
        return None
    rows, columns = _largest(domain, roles, "rows"), _largest(domain, roles, "columns")
    depth = roles.index("depth")
    if min(static(domain.sizes[rows]), static(domain.sizes[columns])) < 2 or static(domain.sizes[depth]) < 4:
        return None
    outer = [loop for loop in range(len(roles)) if loop not in (rows, columns, depth)]
    accesses = [domain.accesses[operand_key(node, operand)] for operand in node.operands]
    product = Product(node, domain, builder.placed, accesses[0], accesses[1], outer, rows, columns, depth, element)
    return product.turned() if _stored_by_columns(cluster, product) else product


def summed_in(node: Node) -> str | None:
    """The element type in which the body computes acc + a * b on its arguments, which may be widened first.

    None when it computes something else, or in a type that has no register kernel.
    """
    if len(node.operands) != 2 or len(node.values) != 1 or len(node.body.ops) < 2:
        return None
    *widenings, product, total = node.body.ops
    first, second, accumulator = node.body.arguments
    for op in widenings:
        if op.name not in ("arith.extf", "arith.extsi") or op.operands[0] not in (first, second):
            return None
        if op.operands[0] == first:
            first = op.result
        else:
            second = op.result
    factors, terms = product.operands, total.operands
    multiplies = (product.name, total.name) in _MULTIPLY_ADD and factors in ([first, second], [second, first])
    adds = terms in ([accumulator, product.result], [product.result, accumulator])
    if not multiplies or not adds or node.body.yields != [total.result]:
        return None
    kept = node.values[0].element
    # Sums of narrow integers wrap, so that wider ones agree in the bits that are kept; those of floats would not.
    element = _WIDENED.get(kept, kept) if kept[0] == "i" else kept
    sources = {operand.source.element for operand in node.operands if isinstance(operand.source, View)}
    narrow = {element, *(name for name, wide in _WIDENED.items() if wide == element)}
    return element if element in _SUMMED_IN and sources <= narrow else None


def static(size: Index) -> int:
    """The size, or a very large number when it is not known."""
    return size if isinstance(size, int) else 1 << 62


def _largest(domain: Domain, roles: list[str], role: str) -> int:
    """The loop of that role with the most iterations (unknown sizes count as large), innermost on a tie."""
    loops = [loop for loop, name in enumerate(roles) if name == role]
    return max(loops, key=lambda loop: (static(domain.sizes[loop]), loop))


def _stored_by_columns(cluster: Cluster, product: Product) -> bool:
    """Whether the results stand side by side along the rows of the product and not along its columns."""
    steps = [product.domain.accesses["out", number].coefficients for number in range(len(cluster.outputs))]
    return all(step[product.rows] == 1 and step[product.columns] != 1 for step in steps)
