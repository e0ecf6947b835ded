"""What users get wrong, and the message they get: what is wrong, the values, a hint, their own line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phalanx as px

F32 = np.float32


def vector(n: int = 3) -> np.ndarray[Any, Any]:
    return np.ones(n, F32)


def compiled(function: Callable[..., Any], *args: Any) -> Any:
    return px.jit(function)(*args)


CASES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "shapes that do not broadcast": (
        lambda: compiled(lambda x, y: x + y, vector(2), vector(3)),
        px.ShapeError, r"add: shapes do not broadcast, got \[2\] and \[3\]"),
    "matmul sizes": (
        lambda: compiled(lambda x, y: x @ y, np.ones((2, 3), F32), np.ones((2, 3), F32)),
        px.ShapeError, r"matmul: .*3.*2"),
    "axis out of range": (
        lambda: compiled(lambda x: px.sum(x, axis=2), vector()),
        px.ShapeError, "sum: axis 2 is out of range for a tensor of rank 1"),
    "an axis twice": (
        lambda: px.sum(np.ones((2, 2), F32), axis=(0, 0)), px.ShapeError, "sum: an axis appears twice"),
    "negative size": (lambda: px.zeros((2, -1)), px.ShapeError, "-1"),
    "reshape to another size": (
        lambda: px.reshape(vector(6), (4, 2)), px.ShapeError, r"reshape: .*6.*\(?4"),
    "logic on floats": (
        lambda: px.bitwise_and(vector(), vector()), px.DTypeError, "bitwise_and: .*cannot be float32"),
    "a scalar that does not fit": (
        lambda: px.asarray([1], dtype=px.uint8) + 300, px.DTypeError, "add: 300 does not fit uint8"),
    "complex numbers": (lambda: px.add(vector(), 1j), px.DTypeError, "complex"),
    "an array of objects": (
        lambda: px.asarray(np.array([object()])), px.DTypeError, "dtype object is not numeric"),
    "strings": (lambda: px.asarray(["a"]), px.DTypeError, "not numeric"),
    "a ragged list": (lambda: px.asarray([[1, 2], [3]]), px.DTypeError, "nested lists must have equal lengths"),
    "a function that returns text": (
        lambda: compiled(lambda x: {"a": "text"}, 1.0), px.TraceError, r"returns a str as result\['a'\]"),
    "a text argument": (
        lambda: compiled(lambda x, mode: x, 1.0, "fast"), px.TraceError,
        r'argument mode is a str, not a tensor\n.*\n?hint: make it static: @px.defn\(static=\("mode",\)\)'),
    "an unhashable static argument": (
        lambda: px.jit(lambda x, n: x, static=("n",))(1.0, [1]), px.ArgumentError, "static argument 'n' must be hashable"),
    "a static name that does not exist": (
        lambda: px.jit(lambda x: x, static=("n",)), px.ArgumentError, "static argument 'n' does not exist"),
    "missing arguments": (
        lambda: compiled(lambda x, y: x, 1.0), px.ArgumentError, "missing a required argument: 'y'"),
    "if on a tensor": (
        lambda: compiled(lambda x: 1 if x > 0 else 2, 1.0), px.TraceError, "truth value.*px.where"),
    "float of a tracer": (lambda: compiled(lambda x: float(x), 1.0), px.TraceError, r"float\(\).*astype"),
    "a number format of a tracer": (
        lambda: compiled(lambda x: f"{x:.3f}" and x, 1.0), px.TraceError, r"the format '.3f' of a traced tensor.*px.print"),
    "range of a tracer": (lambda: compiled(lambda n: list(range(n)), 3), px.TraceError, "px.fori_loop"),
    "numpy on a tracer": (
        lambda: compiled(lambda x: np.sin(x), 1.0), (px.TraceError, TypeError), "px.sin|__array_ufunc__|ufunc"),
    "numpy function on a tracer": (
        lambda: compiled(lambda x: np.concatenate([x, x]), vector()), px.TraceError, "numpy.concatenate.*px.concatenate"),
    "item of a tracer": (lambda: compiled(lambda x: x.item(), 1.0), px.TraceError, r"item\(\)"),
    "unknown backend": (lambda: px.use_backend("numy").__enter__(), px.ArgumentError, "did you mean 'numpy'"),
    "unknown compiler": (lambda: px.jit(lambda x: x, compiler="mlri"), px.ArgumentError, "mlir"),
    "unknown option": (lambda: px.options(opt_levl=1).__enter__(), px.ArgumentError, "opt_level"),
    "unknown argument of an op": (lambda: px.exp(vector(), axis=1), (px.ArgumentError, TypeError), "axis"),
    "gradient of an integer": (
        lambda: px.grad(lambda x: x * 2)(np.int32(1)), px.DTypeError, r"grad: argument\[0\] is i32\[\]"),
    "gradient of a vector": (
        lambda: px.grad(lambda x: x * 2)(vector()), px.ShapeError, r"grad: the function returns a scalar, got f32\[3\]"),
    "argnums out of range": (lambda: px.grad(lambda x: x, argnums=1)(1.0), px.ArgumentError, "argnums 1 is out of range"),
    "grad of a value": (lambda: px.grad(3.0), px.TraceError, r"px.grad\(f\)\(x\)"),
    "vmap with different sizes": (
        lambda: px.vmap(lambda a, b: a + b)(vector(2), vector(3)), px.ShapeError, "vmap: batch sizes differ, got 2 and 3"),
    "vmap over a scalar": (lambda: px.vmap(lambda a: a)(1.0), px.ShapeError, "vmap: .*has rank 0"),
    "vmap over nothing": (lambda: px.vmap(lambda a: a, in_axes=None)(1.0), px.ArgumentError, "no argument is mapped"),
    "two names in one broadcast": (
        lambda: px.jit(lambda x, y: x + y).trace("f32[n]", "f32[m]"), px.ShapeError, "use one name for both"),
    "branching on a size": (
        lambda: px.jit(lambda x: x if x.shape[0] > 3 else x + 1).trace("f32[n]"), px.TraceError, "n.*has no value yet"),
    "io_call without a function": (lambda: px.io_call(1.0), px.ArgumentError, "io_call: give a function"),
    "defn of a value": (lambda: px.defn(3), px.TraceError, "defn: a int is not a function"),
    "slice step zero": (lambda: px.asarray(vector())[::0], (px.PhalanxError, ValueError), "step"),
    "too many indices": (lambda: px.asarray(vector())[0, 0], (px.PhalanxError, IndexError), "too many|rank"),
    "assignment": (lambda: px.asarray(vector()).__setitem__(0, 1.0), TypeError, r"\.at\["),
    "an index beyond the end": (lambda: px.asarray(vector())[7], (px.PhalanxError, IndexError), "7.*out of"),
}


@pytest.mark.parametrize("name", CASES)
def test_message(name: str) -> None:
    call, kind, pattern = CASES[name]
    with pytest.raises(kind) as caught:
        call()


    assert re.search(pattern, str(caught.value), re.DOTALL), str(caught.value)


def test_errors_point_at_the_users_line() -> None:
    with pytest.raises(px.ShapeError) as caught:
        compiled(lambda x, y: px.exp(x) * y, vector(2), vector(3))
    assert "test_messages.py" in str(caught.value)


def test_a_container_that_holds_itself() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(px.ArgumentError, match="holds itself"):
        compiled(lambda x: x, loop)


def test_readonly_misaligned_and_strided_memory_is_taken() -> None:
    readonly = np.arange(4, dtype=F32)
    readonly.flags.writeable = False
    raw = np.zeros(17, np.uint8)
    misaligned = raw[1:].view(F32)
    strided = np.arange(12, dtype=F32).reshape(3, 4)[::-1, ::2]
    swapped = np.arange(4, dtype=">f4")
    for array in (readonly, misaligned, strided, swapped):
        np.testing.assert_array_equal(compiled(lambda x: x + 1, array).numpy(), array + 1)


def test_out_of_range_does_not_depend_on_the_compiler() -> None:
    for name in ("mlir", "evaluator"):
        with px.options(compiler=name), pytest.raises(px.ShapeError, match="axis 5"):
            compiled(lambda x: px.max(x, axis=5), vector())
