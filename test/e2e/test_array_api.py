"""The array API standard over the namespace `px`: signatures, results against the strict reference, special values."""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest

import phalanx as px

DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 2.0, -2.0, 3.0, np.inf, -np.inf, np.nan, 1e-30, 1e-45,
          3.4e38, np.pi / 2, 8388609.5, 123456.7]

#: what the standard has and this version has not: complex numbers and sorting
ABSENT = {"argsort", "complex128", "complex64", "conj", "imag", "real", "sort", "unique_all", "unique_counts",
          "unique_inverse", "unique_values"}
FUNCTIONS = sorted(n for n, f in vars(strict).items() if inspect.isfunction(f) and not n.startswith("_")
                   and "flags" not in n and n not in ABSENT)

#: parameters whose default here is another: px.squeeze and px.expand_dims can do without an axis
FREER = {("squeeze", "axis"), ("expand_dims", "axis"), ("from_dlpack", "device"), ("from_dlpack", "copy"),
         ("astype", "device"), ("reshape", "shape")}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_nothing_else_is_absent() -> None:
    listed = {n for n in vars(strict) if not n.startswith("_") and "flags" not in n.lower()}
    assert {n for n in listed if not hasattr(px, n)} - {"Device", "ModuleType"} == ABSENT


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature(name: str) -> None:
    ours = inspect.signature(getattr(px, name)).parameters
    anything = {p.kind for p in ours.values()} >= {inspect.Parameter.VAR_POSITIONAL}
    for position, wanted in enumerate(inspect.signature(getattr(strict, name)).parameters.values()):
        if wanted.kind is wanted.KEYWORD_ONLY:
            assert ours[wanted.name].kind is not wanted.POSITIONAL_ONLY
        elif wanted.kind is wanted.POSITIONAL_OR_KEYWORD:
            assert wanted.name in ours
            assert anything or (list(ours)[position] == wanted.name and ours[wanted.name].kind is wanted.kind)
        elif wanted.kind is wanted.POSITIONAL_ONLY:
            assert anything or list(ours.values())[position].kind is not wanted.KEYWORD_ONLY
        if wanted.kind is not wanted.POSITIONAL_ONLY and (name, wanted.name) not in FREER and wanted.name in ours:
            assert repr(ours[wanted.name].default) == repr(wanted.default)


def drawn(dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(sum(shape) + len(dtype))
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.startswith("float"):
        return np.asarray(rng.normal(size=shape)).astype(dtype)
    return np.asarray(rng.integers(0 if dtype.startswith("u") else -9, 9, shape)).astype(dtype)


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("sum", {}), ("sum", {"axis": (0, 1)}), ("sum", {"axis": ()}), ("prod", {"axis": -1, "keepdims": True}),
    ("max", {"axis": -1}), ("min", {"axis": 0, "keepdims": True}), ("mean", {"axis": -1}), ("var", {"correction": 1.0}),
    ("std", {"axis": 0, "correction": 0.5}), ("all", {"axis": 0}), ("any", {"axis": (0, -1), "keepdims": True}),
    ("argmax", {"axis": -1}), ("argmin", {"keepdims": True}), ("cumulative_sum", {"axis": -1, "include_initial": True}),
    ("cumulative_prod", {"axis": 0}), ("count_nonzero", {"axis": 0}), ("flip", {"axis": (0, -1)}),
    ("expand_dims", {"axis": 2}), ("matrix_transpose", {}), ("permute_dims", {"axes": (2, 0, 1)}),
    ("roll", {"shift": (1, -2), "axis": (0, 1)}), ("tril", {"k": 1}), ("triu", {"k": -2}),
    ("unstack", {"axis": -1}), ("diff", {"axis": 0, "n": 2}), ("reshape", {"shape": (-1,)}), ("round", {}), ("sign", {}),
    ("clip", {"min": 0, "max": 1}), ("zeros_like", {}), ("full_like", {"fill_value": 1}), ("nonzero", {})]


def written(found: Any) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(part) for part in (found if isinstance(found, (tuple, list)) else [found])]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("name", "arguments"), CALLS)
def test_against_the_reference(name: str, arguments: dict[str, Any], compiled: bool) -> None:
    function = getattr(px, name)
    if compiled:
        if name == "nonzero":
            pytest.skip("the number of results depends on the values")
        function = px.jit(lambda x: getattr(px, name)(x, **arguments))
    ran = 0
    chosen = ["bool", "int8", "uint32", "float32"] if compiled else DTYPES
    for dtype, shape in itertools.product(chosen, [(), (0,), (5,), (2, 3), (2, 0, 3), (3, 1, 4)]):
        array = drawn(dtype, shape)
        axis = arguments.get("axis")
        if not shape and axis not in (None, ()) and name != "expand_dims":
            continue  # out of range in the standard
        try:
            expected = written(getattr(strict, name)(strict.asarray(array), **arguments))
        except (TypeError, ValueError, IndexError, RuntimeError):
            continue  # the reference refuses this dtype or rank
        found = written(function(array) if compiled else function(array, **arguments))
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.shape == theirs.shape and ours.dtype.kind == theirs.dtype.kind
            np.testing.assert_allclose(ours.astype(np.float64), theirs.astype(np.float64), rtol=1e-5, atol=1e-6)
        ran += 1
    assert ran >= 3


@pytest.mark.parametrize("name", ["add", "maximum", "less", "floor_divide", "remainder", "pow", "divide", "bitwise_and"])
def test_promotion(name: str) -> None:
    for left, right in itertools.product(DTYPES, DTYPES):
        a, b = drawn(left, (2, 3)), np.ones(3, right)
        try:
            expected = np.asarray(getattr(strict, name)(strict.asarray(a), strict.asarray(b)))
        except TypeError:
            continue
        found = np.asarray(getattr(px, name)(px.asarray(a), px.asarray(b)))
        assert found.dtype == expected.dtype, (left, right)
        np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), rtol=1e-5)


UNARY = ["abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "exp", "expm1", "floor",
         "isfinite", "isinf", "isnan", "log", "log1p", "log2", "log10", "reciprocal", "round", "sign", "signbit", "sin",
         "sinh", "sqrt", "square", "tan", "tanh", "trunc"]
BINARY = ["add", "atan2", "copysign", "divide", "equal", "floor_divide", "hypot", "less", "logaddexp", "multiply",
          "nextafter", "not_equal", "pow", "remainder", "subtract"]


def same(found: Any, expected: np.ndarray[Any, Any], tolerance: float) -> None:
    found = np.asarray(found)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance)
    if expected.dtype.kind == "f":
        zero = expected == 0
        np.testing.assert_array_equal(np.signbit(found[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("compiled", [False, True])
def test_special_values(dtype: str, compiled: bool) -> None:
    values = np.asarray(FLOATS).astype(dtype)
    left, right = (side.ravel() for side in np.meshgrid(values, values))
    tolerance = 3e-6 if dtype == "float32" else 1e-13

    def every(x: Any, y: Any, z: Any) -> tuple[list[Any], list[Any]]:
        return [getattr(px, n)(x) for n in UNARY], [getattr(px, n)(y, z) for n in BINARY]

    unary, binary = (px.jit(every) if compiled else every)(values, left, right)
    for name, found in zip(UNARY, unary, strict=True):
        same(found, np.asarray(getattr(strict, name)(strict.asarray(values))), tolerance)
    for name, found in zip(BINARY, binary, strict=True):
        same(found, np.asarray(getattr(strict, name)(strict.asarray(left), strict.asarray(right))), tolerance)


@pytest.mark.parametrize("create", [
    lambda **k: px.zeros(2, **k), lambda **k: px.ones((2,), **k), lambda **k: px.empty(2, **k), lambda **k: px.eye(2, **k),
    lambda **k: px.full(2, fill_value=1.5, **k), lambda **k: px.linspace(0, 1, 3, **k)])
def test_creation_takes_dtype_none_and_a_device(create: Any) -> None:
    place = px.asarray(1.0).device
    assert create(dtype=None, device=place).dtype is px.float32
    assert create(dtype=px.float64, device=None).dtype is px.float64
    assert create(device=place).device == place
    with pytest.raises(px.DeviceError, match="no device cuda:9"):
        create(device="cuda:9")


def test_generic_code_runs_inside_a_traced_function() -> None:
    @px.defn
    def centered(x: Any) -> Any:
        xp = x.__array_namespace__(api_version="2024.12")
        return x - xp.mean(x, axis=0) + xp.zeros(x.shape, dtype=x.dtype, device=x.device).to_device(x.device)

    array = drawn("float32", (4, 3))
    np.testing.assert_allclose(centered(array), array - array.mean(0), rtol=1e-5, atol=1e-6)


def test_isin() -> None:
    x = np.asarray([[1.0, np.nan], [3.0, 5.0]], np.float32)
    np.testing.assert_array_equal(px.isin(x, np.asarray([3, np.nan, 1], np.float32)), [[True, False], [True, False]])
    np.testing.assert_array_equal(px.isin(x, 5, invert=True), [[True, True], [True, False]])
    assert not px.isin(3, np.zeros((0,), np.int32))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("size", [0, 1, 2, 7, 100])
def test_searchsorted(side: Any, size: int) -> None:
    rng = np.random.default_rng(size)
    line = np.sort(rng.integers(0, 50, size)).astype(np.float32)
    if size > 2:
        line[-2:] = np.nan
    values = np.append(rng.integers(-3, 53, (40,)), [np.nan, np.inf]).astype(np.float32).reshape(6, 7)
    expected = np.searchsorted(line, values, side=side)
    np.testing.assert_array_equal(px.searchsorted(line, values, side=side), expected)
    np.testing.assert_array_equal(px.jit(lambda a, b: px.searchsorted(a, b, side=side))(line, values), expected)
    shuffled = rng.permutation(size)
    back = np.argsort(shuffled)
    np.testing.assert_array_equal(px.searchsorted(line[shuffled], values, side=side, sorter=back), expected)


def test_refusals() -> None:
    with pytest.raises(px.ShapeError, match="nonzero: a rank-0 tensor"):
        px.nonzero(px.asarray(1))
    with pytest.raises(px.TraceError, match="the number of elements a traced boolean mask selects"):
        px.jit(px.nonzero)(px.ones(2))
    with pytest.raises(px.ArgumentError, match="side is 'left' or 'right'"):
        px.searchsorted([1, 2], 1, side="middle")
    with pytest.raises(px.ShapeError, match="is a vector"):
        px.searchsorted([[1, 2]], 1)
    with pytest.raises(px.DTypeError, match="no element type None"):
        px.astype([1, 2], None)


def test_positional_arguments() -> None:
    array = drawn("float32", (2, 3, 4))
    np.testing.assert_array_equal(px.moveaxis(array, 0, -1), np.moveaxis(array, 0, -1))
    np.testing.assert_array_equal(px.repeat(array, 3, axis=1), np.repeat(array, 3, axis=1))
    np.testing.assert_array_equal(px.tile(array, (2, 1, 1, 3)), np.tile(array, (2, 1, 1, 3)))
