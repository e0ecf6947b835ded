"""Random numbers from explicit keys; in user code `px.random`.

The generator is Threefry-2x32 with the counters of Nx (and of JAX with `jax_threefry_partitionable=False`),
so that keys, splits, bits and float32 numbers are the same. Where Nx and JAX differ (8, 16 and 64-bit
integers, 16-bit floats, `randint`), the values are those of Nx.

    key = px.random.key(0)
    first, second = px.random.split(key)
    x = px.random.normal(first, (3, 4))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.dialects import dims
from phalanx.dialects.aval import Shape, normalize_axis
from phalanx.dialects.dtypes import DType, dtype_of, float32, int32, uint8, uint16, uint32, uint64
from phalanx.dialects.errors import ArgumentError, DTypeError
from phalanx.dialects.opdef import lookup
from phalanx.dialects.px.rearrange import part_of, stack
from phalanx.dialects.px.shape import as_tensor, broadcast, concatenate, is_size, normalize_shape, reshape
from phalanx.dialects.px.slicing import size_tensor
from phalanx.dialects.px.threefry import threefry2x32

__all__ = ["bernoulli", "bits", "categorical", "exponential", "fold_in", "gumbel", "key", "normal", "randint", "split",
           "uniform"]

_UNSIGNED = {8: uint8, 16: uint16, 32: uint32, 64: uint64}
_MANTISSA = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}
_MAX_WORDS = 2**32


def _convert(x: Any, dtype: DType) -> Any:
    return x if x.dtype is dtype else lookup("convert")(x, dtype)


def _check_key(key: Any) -> Any:
    key = as_tensor(key)
    if key.shape != (2,) or key.dtype is not uint32:
        raise ArgumentError(f"random: a key is two 32-bit words, u32[2], got {key.aval}",
                            hint="make one with px.random.key(seed); px.vmap runs over several")
    return key


def _float_dtype(dtype: Any, who: str) -> DType:
    found = dtype_of(dtype)
    if not found.is_float:
        raise DTypeError(f"random.{who}: the dtype is a float, got {found}")
    return found


def _words_of(seed: Any) -> tuple[Any, Any]:
    """The high and the low 32 bits of integers."""
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        if not -2**63 <= seed < 2**64:
            raise ArgumentError(f"random: a seed has 64 bits, got {seed}")
        number = int(seed) & 0xFFFFFFFFFFFFFFFF
        return np.asarray(number >> 32, np.uint32), np.asarray(number & 0xFFFFFFFF, np.uint32)
    seed = as_tensor(seed)
    if not seed.dtype.is_integer:
        raise DTypeError(f"random: a seed is an integer, got {seed.aval}")
    wide = _convert(seed, uint64)
    return _convert(lookup("bitwise_right_shift")(wide, 32), uint32), _convert(wide, uint32)


def key(seed: Any, /) -> Any:
    """The key of a seed, an int or an integer tensor of rank 0.

    >>> px.random.key(12)
    px.Tensor([ 0 12], dtype=uint32)
    """
    high, low = _words_of(seed)
    if isinstance(high, np.ndarray):
        return as_tensor(np.stack([high, low]))
    return stack([high, low])


def _random_words(key: Any, shape: Shape) -> Any:
    """32 random bits for every element of `shape`."""
    count = dims.product(shape)
    if isinstance(count, int) and count >= _MAX_WORDS:
        raise ArgumentError(f"random: one key gives fewer than {_MAX_WORDS} words, got shape {shape}",
                            hint="split the key and make the parts on their own")
    if is_size(count, 0):
        return broadcast(np.zeros((), np.uint32), shape)
    # The counters 0, 1, 2, ... are cut into halves, which are the words of the blocks; an odd number of
    # them is filled up with a zero.
    half = dims.floor_divide(count + 1, 2)
    first = lookup("iota")((half,), axis=0, dtype=uint32)
    second = first + size_tensor(half, uint32)
    if not is_size(dims.modulo(count, 2), 0):
        second = lookup("select")(second == size_tensor(count, uint32), np.zeros((), np.uint32), second)
    low, high = threefry2x32(key[0], key[1], first, second)
    high = part_of(high, 0, 0, count - half) if not is_size(count - half - half, 0) else high
    return reshape(concatenate([low, high]), shape)


def bits(key: Any, shape: Any = (), dtype: Any = uint32) -> Any:
    """Uniform random bits in an unsigned dtype.

    >>> px.random.bits(px.random.key(0), (2,)).shape
    (2,)
    """
    target = dtype_of(dtype)
    if target.kind != "u":
        raise DTypeError(f"random.bits: the dtype is unsigned, got {target}")
    key, shape = _check_key(key), normalize_shape(shape, "random.bits")
    if target.bits < 64:
        return _convert(_random_words(key, shape), target)
    words = _convert(_random_words(key, (2, dims.product(shape))), uint64)
    return reshape(lookup("bitwise_left_shift")(words[0], 32) | words[1], shape)


def split(key: Any, num: int | Sequence[int] = 2) -> Any:
    """`num` new keys, along the first axis (or axes) of the result.

    >>> px.random.split(px.random.key(1701))
    px.Tensor([[  56197195 1801093307]
               [ 961309823 1704866707]], dtype=uint32)
    """
    return _random_words(_check_key(key), (*normalize_shape(num, "random.split"), 2))


def fold_in(key: Any, data: Any) -> Any:
    """A new key made of a key and an integer; one for each element of an integer tensor.

    >>> px.random.fold_in(px.random.key(42), 99)
    px.Tensor([2015327502 1351855566], dtype=uint32)
    """
    key = _check_key(key)
    high, low = _words_of(data)
    return stack(threefry2x32(key[0], key[1], high, low), axis=-1)


def _number(value: Any, dtype: DType) -> Any:
    """A bound in `dtype`; a Python number stays on the host, so that what is known is computed there."""
    if isinstance(value, (int, float, np.generic)):
        return np.asarray(value).astype(dtype.numpy)
    return _convert(as_tensor(value), dtype)


def uniform(key: Any, shape: Any = (), dtype: Any = float32, low: Any = 0.0, high: Any = 1.0) -> Any:
    """Uniform floats in [low, high).

    >>> float(px.random.uniform(px.random.key(12)))
    0.3037703037261963

    The bounds broadcast to `shape`. Random bits fill the mantissa of a number in [1, 2), 1 is taken off.
    """
    target = _float_dtype(dtype, "uniform")
    shape = normalize_shape(shape, "random.uniform")
    unsigned = _UNSIGNED[target.bits]
    one = np.ones((), target.numpy).view(unsigned.numpy)
    random_bits = bits(key, shape, unsigned)
    mantissa = lookup("bitwise_right_shift")(random_bits, target.bits - _MANTISSA[target.name])
    unit = lookup("bitcast")(mantissa | as_tensor(one), target) - 1.0
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low == 0 and high == 1:
        return unit
    low, high = _number(low, target), _number(high, target)
    return lookup("maximum")(unit * as_tensor(high - low) + low, low)


def normal(key: Any, shape: Any = (), dtype: Any = float32, mean: Any = 0.0, std: Any = 1.0) -> Any:
    """Normal floats of a mean and a standard deviation: sqrt(2) * erfinv of uniform ones.

    >>> px.random.normal(px.random.key(42)).numpy().round(4)
    np.float32(-0.1847)
    """
    target = _float_dtype(dtype, "normal")
    lowest = np.nextafter(np.asarray(-1, target.numpy), np.asarray(0, target.numpy))
    flat = lookup("erfinv")(uniform(key, shape, target, lowest[()], 1.0))
    standard = flat * as_tensor(np.sqrt(np.asarray(2, target.numpy)))
    if isinstance(mean, (int, float)) and isinstance(std, (int, float)) and mean == 0 and std == 1:
        return standard
    return standard * _number(std, target) + _number(mean, target)


def randint(key: Any, shape: Any = (), low: Any = 0, high: Any = 2, dtype: Any = int32) -> Any:
    """Uniform integers in [low, high), as Nx makes them.

    >>> int(px.random.randint(px.random.key(0), (), 0, 10)) in range(10)
    True

    The bounds are ints or integer tensors that broadcast to `shape`.
    """
    target = dtype_of(dtype)
    if not target.is_integer:
        raise DTypeError(f"random.randint: the dtype is an integer, got {target}")
    shape = normalize_shape(shape, "random.randint")
    if isinstance(low, int) and isinstance(high, int):
        _check_range(low, high, target)
        if high - low == 1 << target.bits:  # every value there is
            return lookup("bitcast")(bits(key, shape, _UNSIGNED[target.bits]), target)
    # Two words per number make the bias of the remainder negligible.
    words = _convert(bits(key, (2, *shape), _UNSIGNED[target.bits]), uint64)
    low, high = _integer(low, target), _integer(high, target)
    span = _convert(_convert(as_tensor(high) - low, _UNSIGNED[target.bits]), uint64)
    remainder = lookup("remainder")
    step = remainder(as_tensor(np.asarray(2 ** (target.bits // 2), np.uint64)), span)
    step = remainder(step * step, span)
    offset = remainder(remainder(words[0], span) * step + remainder(words[1], span), span)
    return _convert(offset, target) + low


def _check_range(low: int, high: int, dtype: DType) -> None:
    info = np.iinfo(dtype.numpy)
    if not info.min <= low < high <= info.max + 1:
        raise ArgumentError(f"random.randint: needs {info.min} <= low < high <= {info.max + 1} for {dtype}, "
                            f"got {low} and {high}")


def _integer(value: Any, dtype: DType) -> Any:
    """A bound in `dtype`; one past the largest value wraps, as the subtraction of bounds does."""
    if isinstance(value, (int, np.integer)):
        return np.asarray(int(value) & ((1 << dtype.bits) - 1), _UNSIGNED[dtype.bits].numpy).view(dtype.numpy)
    return _convert(as_tensor(value), dtype)


def bernoulli(key: Any, p: Any = 0.5, shape: Any = None) -> Any:
    """True with probability `p`.

    >>> px.random.bernoulli(px.random.key(0), 1.0, (2,))
    px.Tensor([ True  True], dtype=bool)
    """
    if shape is None:
        shape = () if isinstance(p, (int, float)) else as_tensor(p).shape
    dtype = float32 if isinstance(p, (int, float)) else as_tensor(p).dtype
    return lookup("less")(uniform(key, shape, dtype), p)


def exponential(key: Any, shape: Any = (), dtype: Any = float32) -> Any:
    """Exponential floats of rate 1, by inversion.

    >>> float(px.random.exponential(px.random.key(0))) > 0
    True
    """
    return -lookup("log1p")(-uniform(key, shape, _float_dtype(dtype, "exponential")))


def gumbel(key: Any, shape: Any = (), dtype: Any = float32) -> Any:
    """Standard Gumbel floats: -log(-log(u)).

    >>> px.random.gumbel(px.random.key(0), (3,)).shape
    (3,)
    """
    target = _float_dtype(dtype, "gumbel")
    log = lookup("log")
    return -log(-log(uniform(key, shape, target, _smallest_normal(target), 1.0)))


def _smallest_normal(dtype: DType) -> Any:
    exponent = {"float16": -14, "bfloat16": -126, "float32": -126, "float64": -1022}[dtype.name]
    return np.asarray(2.0**exponent, dtype.numpy)[()]


def categorical(key: Any, logits: Any, *, axis: int = -1, shape: Any = None) -> Any:
    """Positions drawn with probabilities proportional to exp(logits) along `axis` (the Gumbel-max trick).

    >>> int(px.random.categorical(px.random.key(0), px.asarray([0.0, 100.0])))
    1

    `shape`, when given, ends in the shape of `logits` without `axis`.
    """
    logits = as_tensor(logits)
    place = normalize_axis(axis, logits.ndim, "random.categorical")
    rest = (*logits.shape[:place], *logits.shape[place + 1:])
    wanted = rest if shape is None else normalize_shape(shape, "random.categorical")
    lead = wanted[: len(wanted) - len(rest)]
    if wanted[len(lead):] != rest:
        raise ArgumentError(f"random.categorical: the shape must end in {rest}, got {wanted}")
    noise = gumbel(key, (*lead, *logits.shape), logits.dtype)
    return lookup("argmax")(noise + logits, axis=place + len(lead))
