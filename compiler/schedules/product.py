"""Which clusters are matrix products: the contraction seen as rows x columns x depth, with loops around it."""

from __future__ import annotations

import math
from typing import Any

from phalanx.compiler.schedules.cluster import Cluster, Node, Splat, View
from phalanx.compiler.schedules.domain import Access, Domain, DomainBuilder, operand_key
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.dialects.records import record, replace

_WIDENED = {"f16": "f32", "bf16": "f32", "i8": "i32", "i16": "i32"}
_SUMMED_IN = ("f32", "f64", "i32", "i64")
_MULTIPLY_ADD = frozenset({("arith.mulf", "arith.addf"), ("arith.muli", "arith.addi")})
_ZEROS = frozenset({"0.000000e+00", "0"})

SHALLOWEST = 3
"""Depth from which register blocks pay; two terms are arithmetic on elements, in vectors along the result."""

Steps = tuple[tuple[Index, Index], ...]
"""Dims that are walked as one, outermost first, as (size, stride)."""

LONG = 128
"""Columns side by side in memory from which a product of its own for each line of them is as good as one of all."""


@record(frozen=False)
class Contracted:
    """A contraction over the loops of a domain; `element` is what sums are held in, operands may be narrower.

    Sums run over `depth`, and over the loops of `sums` around it.
    """

    node: Node
    domain: Domain
    placed: dict[Node, list[int | None]]
    left: Access
    right: Access
    outer: list[int]
    depth: int
    element: str
    sums: list[int]

    def starts_at_zero(self, writer: Writer) -> bool:
        """Whether sums start from the constant 0 (not from another tensor)."""
        (init,) = self.node.inits
        if not isinstance(init.source, Splat) or init.source.scalar is None:
            return False
        text = writer.constant_text(init.source.scalar)
        return text is not None and text.split(" ")[0] in _ZEROS

    def size(self, loop: int) -> Index:
        """How long a loop is."""
        return self.domain.sizes[loop]

    @property
    def widened(self) -> bool:
        """Whether an operand is narrower than the sums."""
        return any(access.view.element != self.element for access in (self.left, self.right))


@record(frozen=False)
class Product(Contracted):
    """Batches of matrix products: `left` has the rows, `right` the columns.

    Where rows of the left operand are not evenly spaced, `spread` has the dims that its loop of rows covers, outermost
    first, as (size, stride); `deep` has those of the depth.
    """

    rows: int
    columns: int
    spread: Steps = ()
    deep: Steps = ()

    def turned(self) -> Product:
        """The transposed product: rows and columns change places."""
        return replace(self, left=self.right, right=self.left, rows=self.columns, columns=self.rows)


@record(frozen=False)
class VectorProduct(Contracted):
    """Batches of products of a matrix (`left`) and a vector (`right`); `free` is the loop only the matrix has."""

    free: int


def find_product(cluster: Cluster, spread: bool = False) -> Product | VectorProduct | None:
    """The cluster's contraction as a product of matrices, or of a matrix and a vector; else None.

    With `spread`, rows of the left operand need not be evenly spaced.
    """
    reductions = [node for node in cluster.nodes if node.is_reduction]
    if len(reductions) != 1:
        return None
    (node,) = reductions
    element = summed_in(node)
    if element is None or not all(isinstance(operand.source, View) for operand in node.operands):
        return None
    builder = DomainBuilder(cluster)
    keys = [operand_key(node, operand) for operand in node.operands]
    left, right = (builder.accesses[key] for key in keys)
    for dim, gone in enumerate(builder.reduced):
        in_left, in_right = left.coefficients[dim] != 0, right.coefficients[dim] != 0
        if gone:
            builder.roles[dim] = "depth" if in_left and in_right else "broken"
        else:
            builder.roles[dim] = {(True, False): "rows", (False, True): "columns"}.get((in_left, in_right), "batch")
    dims = [dim for dim, size in enumerate(builder.sizes) if size != 1]
    if any(builder.roles[dim] == "broken" for dim in dims):
        return None
    ranked = ["batch", "rows", "columns", "depth"]

    def ordered(inner: Access) -> list[int]:
        """The dims by role; those of the depth as they stand in an operand."""

        def place(dim: int) -> tuple[int, int, int]:
            role, step = builder.roles[dim], inner.coefficients[dim]
            return ranked.index(role), -step if role == "depth" and isinstance(step, int) else 0, dim

        return sorted(dims, key=place)

    even = _product(cluster, builder, builder.build(ordered(left)), (node, element))
    narrow = all(builder.accesses[key].view.element == element for key in keys)
    if not spread or not narrow or not isinstance(even, Product) or not (even.outer or even.sums):
        return even
    for key, other in (keys[0], right), (keys[1], left):
        domain = builder.build(ordered(other), {"rows": keys[0], "columns": keys[1], "depth": key})
        product = _product(cluster, builder, domain, (node, element))
        if isinstance(product, Product) and (found := _spread(builder, product, even)) is not None:
            return found
    return even


def _spread(builder: DomainBuilder, product: Product, even: Product) -> Product | None:
    """The product with the left operand's steps, turned so that only those are uneven; None where that does not help."""
    for turned in (product, product.turned()):
        loops = range(len(turned.domain.sizes))
        uneven = {loop for loop in loops if len(_steps(builder, turned, loop, turned.left)) > 1}
        others = (len(_steps(builder, turned, loop, turned.right)) for loop in loops)
        if uneven - {turned.rows, turned.depth} or max(others) > 1:
            continue
        rows, depth = (_steps(builder, turned, loop, turned.left) for loop in (turned.rows, turned.depth))
        side_by_side = even.right.coefficients[even.columns] == 1 and static(even.size(even.columns)) >= LONG
        if turned is not product and side_by_side:
            return None
        return replace(turned, spread=rows if len(rows) > 1 else (), deep=depth if len(depth) > 1 else ())
    return None


def _product(
    cluster: Cluster, builder: DomainBuilder, domain: Domain, summed: tuple[Node, str]
) -> Product | VectorProduct | None:
    node, element = summed
    roles = [builder.roles[group[0]] for group in domain.groups]
    if "depth" not in roles:
        return None
    depth = _largest(domain, roles, "depth")
    sums = [loop for loop, role in enumerate(roles) if role == "depth" and loop != depth]
    accesses = [domain.accesses[operand_key(node, operand)] for operand in node.operands]
    found = Contracted(node, domain, builder.placed, accesses[0], accesses[1], [], depth, element, sums)
    if "rows" in roles and "columns" in roles:
        return _matrices(cluster, found, roles)
    return _matrix_and_vector(found, roles) if {"rows", "columns"} & set(roles) and not sums else None


def _steps(builder: DomainBuilder, product: Product, loop: int, access: Access) -> Steps:
    """The dims that a loop covers, with their strides in an operand, joined where they are evenly spaced."""
    (strides,) = (known.coefficients for key, known in builder.accesses.items() if product.domain.accesses[key] is access)
    writer = builder.writer
    found: list[tuple[Index, Index]] = []
    for dim in product.domain.groups[loop]:
        size, stride = builder.sizes[dim], strides[dim]
        if found and writer.equal(found[-1][1], writer.mul(size, stride)):
            found[-1] = writer.mul(found[-1][0], size), stride
        else:
            found.append((size, stride))
    return tuple(found)


def _fields(found: Contracted, kept: tuple[int, ...]) -> dict[str, Any]:
    """The fields of a product whose own loops are `kept`; the others are outer loops, but for those summed over."""
    outer = [loop for loop in range(len(found.domain.sizes)) if loop not in kept and loop not in found.sums]
    names: tuple[str, ...] = Contracted.__match_args__
    return {name: getattr(found, name) for name in names} | {"outer": outer}


def _matrices(cluster: Cluster, found: Contracted, roles: list[str]) -> Product | None:
    rows, columns = _largest(found.domain, roles, "rows"), _largest(found.domain, roles, "columns")
    shortest = min(static(found.size(rows)), static(found.size(columns)))
    terms = math.prod(static(found.size(loop)) for loop in (found.depth, *found.sums))
    if shortest < 2 or terms < SHALLOWEST:
        return None
    product = Product(**_fields(found, (rows, columns, found.depth)), rows=rows, columns=columns)
    return product.turned() if _stored_by_columns(cluster, product) else product


def _matrix_and_vector(found: Contracted, roles: list[str]) -> VectorProduct | None:
    role = "rows" if "rows" in roles else "columns"
    free = _largest(found.domain, roles, role)
    product = VectorProduct(**_fields(found, (free, found.depth)), free=free)
    return product if role == "rows" else replace(product, left=found.right, right=found.left)


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
