"""The statements random programs are made of: each function proposes an expression and says whether it rounds.

A proposal need not be valid, the generator tries it. Ops with jumps (floor, comparisons, conversions to integers)
read only values that both compilers must compute to the last bit, since near a jump no tolerance is right.
"""

from __future__ import annotations

from typing import Any

from programs.generator import Generator, Scope

Proposal = tuple[str, bool] | None

_ROUNDED_UNARY = ("exp", "exp2", "expm1", "log1p", "sin", "cos", "tanh", "sigmoid", "erf", "atan", "asinh", "cbrt",
                  "rsqrt", "log", "log2", "sinh", "cosh", "erfc", "tan", "softplus", "relu", "gelu", "silu")
_EXACT_UNARY = ("negative", "positive", "abs", "sqrt", "square", "reciprocal", "stop_gradient")
_JUMPING_UNARY = ("floor", "ceil", "trunc", "round", "sign", "isnan", "isinf", "isfinite")
_EXACT_BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "divide", "add", "multiply")
_COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


def _rank(low: int) -> Any:
    return lambda v: v.ndim >= low


def _is(kinds: str) -> Any:
    return lambda v: v.dtype.kind in kinds


def _operand(g: Generator, scope: Scope, like: str | None, exact: bool = False, kinds: str = "biuf") -> str | None:
    """A second operand: something that broadcasts with `like`, or a number."""
    if g.rng.random() < 0.2:
        return g.rng.choice(("2", "0.5", "-1.5", "3", "1"))
    shape = scope.values[like].shape if like else ()

    def fits(v: Any) -> bool:
        pairs = zip(reversed(shape), reversed(v.shape), strict=False)
        return v.dtype.kind in kinds and all(a == b or 1 in (a, b) for a, b in pairs)

    return g.pick(scope, fits, exact)


def rounded_unary(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _is("iuf"))
    return (f"px.{g.rng.choice(_ROUNDED_UNARY)}({x})", True) if x else None


def exact_unary(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _is("iuf"))
    return (f"px.{g.rng.choice(_EXACT_UNARY)}({x})", False) if x else None


def jumping_unary(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _is("iuf"), exact=True)
    return (f"px.{g.rng.choice(_JUMPING_UNARY)}({x})", False) if x else None


def exact_binary(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _is("iuf"))
    y = _operand(g, scope, x, kinds="iuf")
    return (f"px.{g.rng.choice(_EXACT_BINARY)}({x}, {y})", False) if x and y else None


def rounded_binary(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _is("f"))
    y = _operand(g, scope, x, kinds="f")
    return (f"px.{g.rng.choice(('atan2', 'hypot', 'logaddexp', 'power'))}({x}, {y})", True) if x and y else None


def integer_division(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _is("iuf"), exact=True)
    y = _operand(g, scope, x, exact=True, kinds="iuf")
    return (f"px.{g.rng.choice(('floor_divide', 'remainder', 'fmod'))}({x}, {y})", True) if x and y else None


def comparison(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, exact=True)
    y = _operand(g, scope, x, exact=True)
    return (f"px.{g.rng.choice(_COMPARISONS)}({x}, {y})", False) if x and y else None


def bits(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _is("biu"))
    y = _operand(g, scope, x, kinds="biu")
    names = ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift")
    return (f"px.{g.rng.choice(names)}({x}, {y})", False) if x and y else None


def unary_bits(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _is("biu"))
    return (f"px.{g.rng.choice(('bitwise_invert', 'population_count', 'count_leading_zeros'))}({x})", False) if x else None


def where(g: Generator, scope: Scope) -> Proposal:
    condition = g.pick(scope, _is("b"))
    x = _operand(g, scope, condition)
    y = _operand(g, scope, x if x in scope.values else condition)
    return (f"px.where({condition}, {x}, {y})", False) if condition and x and y else None


def clip(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _is("iuf"))
    return (f"px.clip({x}, {g.rng.choice(('-1', '0', 'None'))}, {g.rng.choice(('2', '3', '1'))})", False) if x else None


def astype(g: Generator, scope: Scope) -> Proposal:
    dtype = g.dtype()
    x = g.pick(scope, exact=not dtype.is_inexact)
    name = "bool" if dtype.is_bool else dtype.name
    return (f"{x}.astype(px.{name})", False) if x else None


def _axes(g: Generator, rank: int) -> str:
    if rank == 0 or g.rng.random() < 0.25:
        return "None"
    axes = g.rng.sample(range(rank), g.rng.randint(1, min(rank, 2)))
    return str(axes[0] - (rank if g.rng.random() < 0.3 else 0)) if len(axes) == 1 else str(tuple(axes))


def reduction(g: Generator, scope: Scope) -> Proposal:
    name = g.rng.choice(("sum", "sum", "prod", "max", "min", "mean", "any", "all", "var", "logsumexp"))
    x = g.pick(scope, exact=name in ("any", "all"))
    if not x:
        return None
    keep = g.rng.choice(("", ", keepdims=True"))
    return f"px.{name}({x}, axis={_axes(g, scope.values[x].ndim)}{keep})", name not in ("max", "min")


def extreme_index(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, exact=True)
    if not x:
        return None
    rank = scope.values[x].ndim
    axis = g.rng.randrange(rank) if rank and g.rng.random() < 0.8 else None
    return f"px.{g.rng.choice(('argmax', 'argmin'))}({x}, axis={axis})", False


def cumulative(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _rank(1))
    if not x:
        return None
    name = g.rng.choice(("cumulative_sum", "cumulative_prod", "cumulative_max", "cumulative_min"))
    return f"px.{name}({x}, axis={g.rng.randrange(scope.values[x].ndim)})", True


def softmax(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, lambda v: v.ndim and v.dtype.is_inexact)
    if not x:
        return None
    return f"px.{g.rng.choice(('softmax', 'log_softmax'))}({x}, axis={g.rng.randrange(scope.values[x].ndim)})", True


def reshape(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope)
    if not x:
        return None
    sizes = [s for s in scope.values[x].shape if s != 1]
    while len(sizes) > 1 and g.rng.random() < 0.5:
        at = g.rng.randrange(len(sizes) - 1)
        sizes[at:at + 2] = [sizes[at] * sizes[at + 1]]
    for at, size in enumerate(sizes):
        if size and size % 2 == 0 and g.rng.random() < 0.3:
            sizes[at:at + 1] = [2, size // 2]
            break
    while len(sizes) < 4 and g.rng.random() < 0.2:
        sizes.insert(g.rng.randint(0, len(sizes)), 1)
    return f"px.reshape({x}, {tuple(sizes)})", False


def transpose(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _rank(2))
    if not x:
        return None
    rank = scope.values[x].ndim
    return f"px.transpose({x}, {tuple(g.rng.sample(range(rank), rank))})", False


def broadcast(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope)
    if not x:
        return None
    shape = [g.rng.choice((2, 3)) if s == 1 and g.rng.random() < 0.5 else s for s in scope.values[x].shape]
    if len(shape) < 4 and g.rng.random() < 0.6:
        shape.insert(0, g.rng.choice((0, 1, 2, 3)))
    return f"px.broadcast_to({x}, {tuple(shape)})", False


def concatenate(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _rank(1))
    if not x:
        return None
    value = scope.values[x]
    axis = g.rng.randrange(value.ndim)
    others = [x]
    for _ in range(g.rng.randint(1, 2)):
        y = g.pick(scope, lambda v: v.ndim == value.ndim and all(
            a == b or i == axis for i, (a, b) in enumerate(zip(v.shape, value.shape, strict=True))))
        others += [y] if y else []
    if g.rng.random() < 0.3:
        return f"px.stack([{x}, {x}], axis={axis})", False
    return f"px.concat([{', '.join(others)}], axis={axis})", False


def move(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _rank(1))
    if not x:
        return None
    axis = g.rng.randrange(scope.values[x].ndim)
    return g.rng.choice((
        f"px.flip({x}, axis={axis})", f"px.roll({x}, {g.rng.randint(-3, 3)}, axis={axis})",
        f"px.tile({x}, 2)", f"px.repeat({x}, 2, axis={axis})", f"px.expand_dims({x}, {axis})",
        f"px.diff({x}, axis={axis})", f"px.moveaxis({x}, 0, {axis})",
        f"px.triu({x})", f"px.tril({x}, k=-1)")), False


def index(g: Generator, scope: Scope) -> Proposal:
    """Basic indexing, with strides and steps backwards."""
    x = g.pick(scope, _rank(1))
    if not x:
        return None
    parts = []
    for size in scope.values[x].shape:
        kind = g.rng.random()
        if kind < 0.3:
            parts.append(":")
        elif kind < 0.5 and size:
            parts.append(str(g.rng.randrange(-size, size)))
        else:
            low, high = g.rng.randint(0, size), g.rng.randint(0, size)
            step = g.rng.choice((1, 1, 2, 3, -1, -2))
            low, high = (min(low, high), max(low, high)) if step > 0 else (max(low, high), min(low, high))
            parts.append(f"{low}:{high}:{step}")
    if g.rng.random() < 0.15:
        parts.insert(g.rng.randint(0, len(parts)), "None")
    return f"{x}[{', '.join(parts)}]", False


def pad(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _rank(1))
    if not x:
        return None
    config = [(g.rng.randint(-1, 2), g.rng.randint(-1, 2), g.rng.choice((0, 0, 1))) for _ in scope.values[x].shape]
    return f"px.pad({x}, {g.rng.choice(('0', '1', '2'))}, {config})", False


def dynamic(g: Generator, scope: Scope) -> Proposal:
    """A slice at run-time positions, or an update there."""
    x = g.pick(scope, _rank(1))
    if not x:
        return None
    shape = scope.values[x].shape
    starts = [g.pick(scope, lambda v: v.ndim == 0 and v.dtype.is_integer) or str(g.rng.randint(-1, 3)) for _ in shape]
    sizes = tuple(g.rng.randint(0, s) for s in shape)
    listed = f"[{', '.join(starts)}]"
    if g.rng.random() < 0.5:
        return f"px.dynamic_slice({x}, {listed}, {sizes})", False
    update = g.pick(scope, lambda v: v.dtype is scope.values[x].dtype and v.ndim == len(shape) and all(
        a <= b for a, b in zip(v.shape, shape, strict=True)))
    return (f"px.dynamic_update_slice({x}, {update}, {listed})", False) if update else None


def gather(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _rank(1))
    at = g.pick(scope, lambda v: v.dtype.is_integer and v.ndim <= 2)
    if not x or not at:
        return None
    axis = g.rng.randrange(scope.values[x].ndim)
    return g.rng.choice((f"px.take({x}, {at}, axis={axis})", f"px.take_along_axis({x}, {at}, axis={axis})",
                         f"{x}[{at}]")), False


def scatter(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, _rank(1))
    if not x:
        return None
    at = g.pick(scope, lambda v: v.dtype.is_integer and v.ndim <= 1)
    value = g.pick(scope, lambda v: v.dtype is scope.values[x].dtype and v.ndim <= scope.values[x].ndim)
    if not at or not value:
        return None
    return f"{x}.at[{at}].{g.rng.choice(('set', 'add', 'max', 'min', 'multiply'))}({value})", True


def product(g: Generator, scope: Scope) -> Proposal:
    x = g.pick(scope, lambda v: v.ndim and not v.dtype.is_bool)
    if not x:
        return None
    inner = scope.values[x].shape[-1]
    y = g.pick(scope, lambda v: v.ndim and v.shape[max(v.ndim - 2, 0)] == inner and not v.dtype.is_bool)
    if y and g.rng.random() < 0.6:
        return f"px.matmul({x}, {y})", True
    z = g.pick(scope, lambda v: v.ndim and v.shape[-1] == inner and not v.dtype.is_bool)
    return f"px.{g.rng.choice(('inner', 'vecdot', 'outer'))}({x}, {z})", True


def creation(g: Generator, scope: Scope) -> Proposal:
    dtype = g.rng.choice(("float32", "int32", "int64", "float64"))
    shape = g.shape()
    return g.rng.choice((
        f"px.iota({shape}, dtype=px.{dtype})", f"px.full({shape}, {g.rng.randint(-3, 3)}, dtype=px.{dtype})",
        f"px.arange({g.rng.randint(0, 9)}, dtype=px.{dtype})", f"px.eye({g.rng.randint(0, 4)}, dtype=px.{dtype})",
        f"px.linspace(0.0, 1.0, {g.rng.randint(2, 6)})")), False


STATEMENTS = (
    rounded_unary, rounded_unary, exact_unary, jumping_unary, exact_binary, exact_binary, exact_binary, rounded_binary,
    integer_division, comparison, bits, unary_bits, where, clip, astype, reduction, reduction, extreme_index, cumulative,
    softmax, reshape, transpose, broadcast, concatenate, move, index, index, pad, dynamic, gather, scatter, product,
    product, creation,
)
