"""Every public function with arguments of the wrong kind: an error of ours or a result, nothing from the inside."""

from __future__ import annotations

import dataclasses
import inspect
import random
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.dialects.opdef import COMPOSITES, REGISTRY


class Index:
    def __index__(self) -> int:
        return 1


with px.use_backend("numpy"):
    TENSORS: list[Any] = [
        px.ones((2, 3)), px.zeros((0,)), px.asarray(3), px.asarray([1, 2, 3]), px.asarray([True, False, True]),
        px.ones((2, 3, 4), dtype=px.float16), np.array(2), np.array([1, 2]), np.zeros((0, 3)), np.array([True, False]),
        np.ones((2, 3, 4), np.float32), 0, 1.5, np.int8(3)]
VALUES: list[Any] = [
    *TENSORS, None, True, 1, -1, 2, -4, 2**63, 10**30, float("nan"), float("inf"), 1j, "", "a", "float32", "ij,jk->ik",
    b"x", (), [], {}, (1,), (2, 3), (-1,), (1, 0), (0, 0), (2**62,), ((1,), (2,)), [[1, 2], [3]], [[]], np.float32(1),
    np.array(["a"]), np.array([1, 2], object), np.zeros(2, np.complex64), px.float32, px.bool,
    "int4", np.dtype("M8[s]"), np.float32, float, object, object(), Ellipsis, slice(1, 2), range(3), {1, 2}, len, Index(),
    Fraction(1, 2), px, NotImplemented]


@pytest.mark.parametrize("name", sorted({n for n, op in REGISTRY.items() if op.public} | set(COMPOSITES)))
def test_arguments_of_the_wrong_kind(name: str) -> None:
    function, generator = getattr(px, name), random.Random(name)
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    for _ in range(25):
        args, kwargs = [], {}
        for parameter in parameters:
            value = generator.choice(VALUES if args and generator.random() < 0.7 else TENSORS)
            if parameter.kind is parameter.KEYWORD_ONLY:
                if generator.random() < 0.5:
                    kwargs[parameter.name] = value
            else:
                args.append(value)
        try:
            with px.use_backend("numpy"), warnings.catch_warnings(action="ignore"):
                function(*args, **kwargs)
        except px.PhalanxError as error:
            message = str(error)
        else:
            message = ""
        assert "internal" not in message, (args, kwargs, message)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: px.triu(0), "triu: needs at least two axes, got i32"),
    (lambda: px.make_diagonal(2.0), "make_diagonal: needs at least one axis"),
    (lambda: px.make_diagonal(px.ones(2), offset=[]), "make_diagonal: offset is an int"),  # type: ignore[arg-type]
    (lambda: px.matrix_transpose([[1, 2], [3]]), "nested lists must have equal lengths"),
    (lambda: px.zeros(2, dtype=px.ones(2)), "dtype: no element type"), (lambda: px.dtype("ij->"), "dtype: no element type"),
    (lambda: px.mean(px.ones(2), keepdims=np.ones(2)), "mean: keepdims is True or False"),
    (lambda: px.sum(px.ones(2), keepdims="yes"), "sum: keepdims is True or False"),  # type: ignore[arg-type]
    (lambda: px.einsum(3), "einsum: subscripts is a string"),  # type: ignore[arg-type]
    (lambda: px.arange(float("nan")), "arange: bounds are finite"), (lambda: px.arange(0, float("inf")), "bounds are finite"),
    (lambda: px.tile(px.ones(2), float("inf")), "tile: repetitions is an int"),  # type: ignore[arg-type]
    (lambda: px.roll(px.ones(2), 0.5), "roll: shift is an int"),  # type: ignore[arg-type]
    (lambda: px.stack(1), "stack: takes a sequence of tensors"),  # type: ignore[arg-type]
    (lambda: px.concat(px.asarray(1)), "takes a sequence of tensors"),
    (lambda: px.rot90(px.ones((2, 2)), axes=()), "rot90: a plane"),
    (lambda: px.rot90(px.ones((2, 2)), axes=(1, -1)), "rot90: the two axes differ"),
    (lambda: px.backend_copy(px.ones(2), 5), "backend: a name is a string"),  # type: ignore[arg-type]
    (lambda: px.random.categorical(px.random.key(0), px.ones(3), axis=1.5), "random.categorical: an axis"),
    (lambda: px.vector_norm(px.ones(2), ord=px.ones(2)), "vector_norm: ord is a number"),
    (lambda: px.ones((2**62,)), "no memory has that many elements"),
    (lambda: px.spec("f32[99999999999999999999]"), "no memory has that many elements"),
    (lambda: px.spec("f32[2000000000000,2000000000000]"), "no memory has that many elements"),
    (lambda: px.jit(px.sum, static=3), "static takes argument names"),  # type: ignore[arg-type]
    (lambda: px.grad(px.sum, argnums=0.5)(1.0), "argnums are positions"),  # type: ignore[arg-type]
    (lambda: px.grad(px.sum, argnums=None)(1.0), "argnums are positions"),  # type: ignore[arg-type]
    (lambda: px.grad(px.sum, has_aux=True)(1.0), "with has_aux the function returns a pair"),
    (lambda: px.grad(lambda x: (x, 1, 2), has_aux=True)(1.0), "a pair .value, aux., got 3 values"),
    (lambda: px.vmap(px.sin, in_axes=0.5)(px.ones(2)), "vmap: in_axes is an axis"),
    (lambda: px.set_threads(10**6), "at most 1024 threads"),
    (lambda: px.set_default_options(num_threads=10**6), "at most 1024"),
    (lambda: px.print(1, sep=5), "print: sep and end are strings"),  # type: ignore[arg-type]
    (lambda: px.hooks(seen=5).__enter__(), "hooks: seen is a function"),  # type: ignore[arg-type]
    (lambda: px.profile(px.sum, px.ones(2), seconds="a"), "seconds must be positive"),  # type: ignore[arg-type]
    (lambda: px.export(px.sum, "a.so", "f32[n]", assume=5), "assume takes texts"),  # type: ignore[arg-type]
    (lambda: px.export(px.sum, "a.so", "f32[n]", name=5), "the name of a function is a string"),  # type: ignore[arg-type]
    (lambda: px.random.key(2**70), "a seed has 64 bits"),
    (lambda: px.register_dataclass(px.register_dataclass(dataclasses.make_dataclass("Twice", ["x"]))), "registered already")])
def test_messages_name_the_argument(call: Any, message: str) -> None:
    with pytest.raises(px.PhalanxError, match=message):
        call()


def test_numbers_of_numpy_and_arrays_of_rank_0_are_numbers() -> None:
    three: Any
    for three in (np.int64(3), np.asarray(3), px.asarray(3)):
        assert px.zeros(three).shape == (3,)
        assert px.triu(px.ones((5, 5)), k=three).shape == (5, 5)
        assert len(px.split(px.ones(6), three)) == 3
        assert px.tile(px.ones(2), three).shape == (6,)
        np.testing.assert_array_equal(px.roll(px.arange(5), three), np.roll(np.arange(5), 3))
        assert px.tensordot(px.ones((2, 3, 4)), px.ones((2, 3, 4)), axes=three) == 24


@pytest.mark.parametrize("traced", [False, True])
def test_bounds_of_loops(traced: bool) -> None:
    run: Any = px.jit if traced else lambda function: function
    for bound in (1.5, True, px.asarray(1.5), px.asarray([1, 2]), "a", None, 2**64):
        with pytest.raises(px.PhalanxError):
            run(lambda bound=bound: px.fori_loop(0, bound, lambda i, c: c, px.asarray(0)))()
    for length in (-1, 1.5, "a", px.ones(2)):
        with pytest.raises(px.PhalanxError):
            run(lambda length=length: px.scan(lambda c, x: (c, None), px.asarray(0), None, length=length))()
    for low, high, dtype in ((0, px.asarray(5, dtype=px.int8), px.int8), (2**40, 2**40 + 3, px.int64), (0, 3, px.int32),
                             (np.int64(0), np.int64(3), px.int32)):
        last = run(lambda low=low, high=high, dtype=dtype: px.fori_loop(
            low, high, lambda i, c: i, px.zeros((), dtype=dtype)))()
        assert int(last) == int(high) - 1 and last.dtype is dtype


def test_a_scan_over_nothing_gives_empty_results() -> None:
    carry, rows = px.scan(lambda c, x: (c + x[0], (x * 2, c)), px.asarray(1.0), px.ones((0, 3)))
    assert float(carry) == 1.0 and rows[0].shape == (0, 3) and rows[1].shape == (0,)
