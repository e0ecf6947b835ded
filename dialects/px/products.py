"""Matrix and tensor products, made of `dot_general`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from phalanx.dialects.aval import is_sequence, normalize_axis
from phalanx.dialects.errors import ArgumentError, ShapeError
from phalanx.dialects.opdef import composite, lookup
from phalanx.dialects.px.contract import dot_general
from phalanx.dialects.px.shape import as_tensor, is_size, reshape, transpose
from phalanx.dialects.static_arguments import whole

Labels = Sequence[Hashable]


def contract_pair(x: Any, x_labels: Labels, y: Any, y_labels: Labels, out: Labels) -> Any:
    """The product of two tensors whose axes have labels, summed over those not in `out`.

    No label stands twice on one side. An axis of size 1 broadcasts against a larger one of its label.
    """
    x, x_kept = _without_units(x, x_labels, dict(zip(y_labels, y.shape, strict=True)))
    y, y_kept = _without_units(y, y_labels, dict(zip(x_kept, x.shape, strict=True)))
    x, x_kept = sum_labels(x, x_kept, [n for n in x_kept if n not in out and n not in y_kept])
    y, y_kept = sum_labels(y, y_kept, [n for n in y_kept if n not in out and n not in x_kept])
    shared = [n for n in x_kept if n in y_kept and n in out]
    summed = [n for n in x_kept if n in y_kept and n not in out]
    product = dot_general(x, y, contract=_axes_of(summed, x_kept, y_kept), batch=_axes_of(shared, x_kept, y_kept))
    found = [*shared, *(n for n in x_kept if n not in y_kept), *(n for n in y_kept if n not in x_kept)]
    return in_order(product, found, out)


def _axes_of(names: Labels, x_labels: list[Hashable], y_labels: list[Hashable]) -> tuple[list[int], list[int]]:
    return [x_labels.index(n) for n in names], [y_labels.index(n) for n in names]


def _without_units(x: Any, labels: Labels, others: dict[Hashable, Any]) -> tuple[Any, list[Hashable]]:
    """Without axes of size 1 whose label has another size on the other side."""
    kept = [i for i, n in enumerate(labels) if not (is_size(x.shape[i], 1) and not is_size(others.get(n, 1), 1))]
    if len(kept) == len(labels):
        return x, list(labels)
    return reshape(x, tuple(x.shape[i] for i in kept)), [labels[i] for i in kept]


def sum_labels(x: Any, labels: Labels, gone: Labels) -> tuple[Any, list[Hashable]]:
    """`x` summed over the axes of some labels, in its own dtype."""
    if not gone:
        return x, list(labels)
    total = lookup("sum")(x, axis=tuple(i for i, n in enumerate(labels) if n in gone), dtype=x.dtype)
    return total, [n for n in labels if n not in gone]


def in_order(x: Any, labels: Labels, out: Labels) -> Any:
    """`x` with its axes in the order of `out`."""
    order = tuple(list(labels).index(n) for n in out)
    return x if order == tuple(range(len(order))) else transpose(x, order)


@composite(symbol="@")
def matmul(lhs: Any, rhs: Any, /) -> Any:
    """Matrix product over the last axes; leading axes broadcast, rank-1 operands are a row and a column.

    >>> px.matmul(px.asarray([[1.0, 2.0]]), px.asarray([[3.0], [4.0]]))
    px.Tensor([[11.]], dtype=float32)

    Raises ShapeError for rank 0 or when the inner sizes differ.
    """
    lhs, rhs = as_tensor(lhs), as_tensor(rhs)
    if not lhs.ndim or not rhs.ndim:
        raise ShapeError(f"matmul: needs at least one axis on each side, got {lhs.aval} and {rhs.aval}",
                         hint="x * y multiplies by a scalar")
    if lhs.shape[-1] != rhs.shape[-2 if rhs.ndim > 1 else 0]:
        raise ShapeError(f"matmul: inner sizes differ, got {lhs.aval} and {rhs.aval}")
    lead = max(lhs.ndim, rhs.ndim) - 2
    left = [*range(lead - lhs.ndim + 2, lead), "m", "k"] if lhs.ndim > 1 else ["k"]
    right = [*range(lead - rhs.ndim + 2, lead), "k", "n"] if rhs.ndim > 1 else ["k"]
    out = [*range(lead), *(n for n in ("m", "n") if n in left or n in right)]
    return contract_pair(lhs, left, rhs, right, out)


@composite(method=True)
def dot(lhs: Any, rhs: Any, /) -> Any:
    """NumPy's and Nx's dot: the last axis of `lhs` with the last but one of `rhs`; a product for scalars.

    >>> px.dot(px.asarray([1.0, 2.0]), px.asarray([3.0, 4.0]))
    px.Tensor(11., dtype=float32)

    Raises ShapeError when these sizes differ.
    """
    lhs, rhs = as_tensor(lhs), as_tensor(rhs)
    if not lhs.ndim or not rhs.ndim:
        return lookup("multiply")(lhs, rhs)
    return dot_general(lhs, rhs, contract=((lhs.ndim - 1,), (max(rhs.ndim - 2, 0),)))


@composite
def tensordot(lhs: Any, rhs: Any, /, *, axes: int | Sequence[Any] = 2) -> Any:
    """Products summed over pairs of axes: the last `axes` of `lhs` with the first of `rhs`, or two lists.

    >>> px.tensordot(px.asarray([[1.0, 2.0]]), px.asarray([3.0, 4.0]), axes=1)
    px.Tensor([11.], dtype=float32)
    """
    lhs, rhs = as_tensor(lhs), as_tensor(rhs)
    if not is_sequence(axes):
        count = whole(axes, "tensordot", "the number of axes")
        if not 0 <= count <= min(lhs.ndim, rhs.ndim):
            raise ShapeError(f"tensordot: cannot sum over {count} axes of {lhs.aval} and {rhs.aval}")
        pairs: Any = (tuple(range(lhs.ndim - count, lhs.ndim)), tuple(range(count)))
    else:
        pairs = axes
    return dot_general(lhs, rhs, contract=pairs)


@composite
def vecdot(lhs: Any, rhs: Any, /, *, axis: int = -1) -> Any:
    """Dot product of vectors along one axis, counted from the end; the other axes broadcast.

    >>> px.vecdot(px.asarray([[1.0, 2.0], [3.0, 4.0]]), px.asarray([1.0, 1.0]))
    px.Tensor([3. 7.], dtype=float32)
    """
    lhs, rhs = as_tensor(lhs), as_tensor(rhs)
    rank, axis = min(lhs.ndim, rhs.ndim), whole(axis, "vecdot", "axis")
    if not rank or not -rank <= axis < 0:
        raise ArgumentError(f"vecdot: the axis counts from the end and both sides have it, got {axis} for "
                            f"{lhs.aval} and {rhs.aval}")
    if lhs.shape[axis] != rhs.shape[axis]:
        raise ShapeError(f"vecdot: sizes differ along axis {axis}, got {lhs.aval} and {rhs.aval}")
    out = [n for n in range(-max(lhs.ndim, rhs.ndim), 0) if n != axis]
    return contract_pair(lhs, range(-lhs.ndim, 0), rhs, range(-rhs.ndim, 0), out)


@composite
def outer(lhs: Any, rhs: Any, /) -> Any:
    """Every element of one tensor times every element of the other; both are flattened.

    >>> px.outer(px.asarray([1.0, 2.0]), px.asarray([3.0, 4.0]))
    px.Tensor([[3. 4.]
               [6. 8.]], dtype=float32)
    """
    return dot_general(reshape(lhs, (-1,)), reshape(rhs, (-1,)))


@composite
def inner(lhs: Any, rhs: Any, /) -> Any:
    """Products summed over the last axis of both sides.

    >>> px.inner(px.asarray([1.0, 2.0]), px.asarray([[3.0, 4.0], [5.0, 6.0]]))
    px.Tensor([11. 17.], dtype=float32)
    """
    lhs, rhs = as_tensor(lhs), as_tensor(rhs)
    if not lhs.ndim or not rhs.ndim:
        return lookup("multiply")(lhs, rhs)
    last = normalize_axis(-1, lhs.ndim, "inner"), normalize_axis(-1, rhs.ndim, "inner")
    return dot_general(lhs, rhs, contract=((last[0],), (last[1],)))
