"""Backends: the registry, the array-library backend on every installed library, `null` and `cpu`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from phalanx.dialects import dtypes
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import ArgumentError, DeviceError, DTypeError, ShapeError
from phalanx.runtime.backends import (
    Backend,
    ResultType,
    Unavailable,
    backend_availability,
    backend_names,
    get_backend,
)
from phalanx.runtime.backends import cpu as cpu_backend
from phalanx.runtime.backends.base import Registry
from phalanx.runtime.device import Device

LIBRARIES = ("numpy", "torch", "array_api_strict")


class Op:
    """An op definition as backends see it."""

    def __init__(self, evaluate: Callable[..., Any], name: str = "op") -> None:
        self.name = name
        self.eval = evaluate


@pytest.fixture(params=LIBRARIES)
def backend(request: pytest.FixtureRequest) -> Backend:
    reasons = {row.name: row.reason for row in backend_availability()}
    if reasons[request.param]:
        pytest.skip(reasons[request.param])
    return get_backend(request.param)


def run(backend: Backend, evaluate: Callable[..., Any], *arrays: Any, results: Any = None, **attributes: Any) -> Any:
    """Run `evaluate` as an op and return the first result on the host."""
    operands = [backend.asarray(np.asarray(a)) for a in arrays]
    return backend.to_numpy(backend.run_op(Op(evaluate), operands, attributes, results)[0])


# The registry.
def test_unknown_backend_names_the_nearest() -> None:
    with pytest.raises(ArgumentError, match="unknown name, got 'nunpy'") as caught:
        get_backend("nunpy")
    assert "did you mean 'numpy'" in (caught.value.hint or "")
    assert "array_api:<module>" in (caught.value.hint or "")


def test_backends_are_made_once_and_dashes_do_not_matter() -> None:
    assert get_backend("numpy") is get_backend("numpy")
    assert {"cpu", "null", "numpy", "torch", "cupy", "array_api_strict"} <= set(backend_names())
    pytest.importorskip("array_api_strict")
    assert get_backend("array-api-strict") is get_backend("array_api_strict")


def test_absent_libraries_say_why() -> None:
    registry = Registry()

    def absent() -> Backend:
        raise Unavailable("fancy is not installed (pip install fancy)")

    registry.register("fancy", "not here", absent)
    with pytest.raises(DeviceError, match=r"'fancy' is not available here, fancy is not installed"):
        registry.get("fancy")
    (row,) = registry.availability()
    assert (row.available, row.reason) == (False, "fancy is not installed (pip install fancy)")
    with pytest.raises(ArgumentError, match="registered twice"):
        registry.register("fancy", "again", absent)


def test_any_standard_module_serves() -> None:
    assert get_backend("array_api:numpy").name == "numpy"
    compat = get_backend("array_api:array_api_compat.numpy")
    assert run(compat, lambda xp, x: xp.exp(x), [0.0]) == [1.0]
    with pytest.raises(DeviceError, match="'math' does not follow the array API standard"):
        get_backend("array_api:math")
    with pytest.raises(DeviceError, match="no_such_module is not installed"):
        get_backend("array_api:no_such_module")


# Storages.
@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_round_trip(backend: Backend, dtype: DType) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype.numpy)
    if dtype not in backend.dtypes:
        with pytest.raises(DTypeError, match=f"the backend has no {dtype}"):
            backend.asarray(array)
        return
    storage = backend.asarray(array)
    assert (backend.dtype(storage), backend.shape(storage)) == (dtype, (2, 3))
    back = backend.to_numpy(storage)
    assert back.dtype == dtype.numpy
    assert np.array_equal(back, array)
    assert not back.flags.writeable
    assert np.array_equal(backend.to_numpy(backend.copy(storage)), array)
    made = backend.allocate((4, 0), dtype)
    assert (backend.shape(made), backend.dtype(made)) == ((4, 0), dtype)


def test_asarray_copies(backend: Backend) -> None:
    array = np.zeros((2, 3))
    storage = backend.asarray(array)
    array[...] = 1
    assert (backend.to_numpy(storage) == 0).all()


@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[::-1, ::2], lambda a: a.astype(">f8")], ids=range(3))
def test_asarray_takes_odd_arrays(backend: Backend, view: Any) -> None:
    array = view(np.arange(12.0).reshape(3, 4))
    assert np.array_equal(backend.to_numpy(backend.asarray(array)), array)


def test_asarray_refuses_objects(backend: Backend) -> None:
    with pytest.raises(DTypeError, match="Python objects have no element type"):
        backend.asarray(np.array([None, 1], dtype=object))


def test_results_with_negative_strides(backend: Backend) -> None:
    x = np.array([7], np.uint16)  # reversed, it is still contiguous by NumPy's flags
    found = run(backend, lambda xp, x: xp.flip(x), x, results=[ResultType(dtypes.uint16, (1,))])
    assert found.tolist() == [7]


def test_transfer_between_backends(backend: Backend) -> None:
    storage = backend.asarray(np.arange(6, dtype=np.int32).reshape(2, 3))
    home = get_backend("cpu")
    buffer = backend.transfer(storage, home)
    assert buffer.pointer % 64 == 0
    again = home.transfer(buffer, backend)
    assert np.array_equal(backend.to_numpy(again), np.arange(6).reshape(2, 3))
    with pytest.raises(DeviceError, match="has no device cuda:7") as caught:
        home.transfer(buffer, backend, device=Device("cuda", 7))
    assert "cpu:0" in (caught.value.hint or "")


# Operations.
def test_several_results_and_inferred_types(backend: Backend) -> None:
    types = [ResultType(dtypes.int32, (3,)), ResultType(dtypes.float32, ())]
    storages = backend.run_op(
        Op(lambda xp, x, scale: (xp.argmax(x, axis=1), xp.sum(x) * scale)),
        [backend.asarray(np.eye(3, dtype=np.float32))],
        {"scale": 2.0},
        types,
    )
    assert [backend.dtype(s) for s in storages] == [dtypes.int32, dtypes.float32]
    assert list(backend.to_numpy(storages[0])) == [0, 1, 2]
    assert backend.to_numpy(storages[1]) == 6.0


def test_wrong_inference_is_found(backend: Backend) -> None:
    with pytest.raises(ShapeError, match=r"made shape \(2,\), inferred was \(3,\)"):
        run(backend, lambda xp, x: xp.exp(x), [1.0, 2.0], results=[ResultType(dtypes.float64, (3,))])


def test_operations_are_counted(backend: Backend) -> None:
    before = backend.statistics().operations
    run(backend, lambda xp, x: xp.exp(x), [1.0])
    assert backend.statistics().operations == before + 1


@pytest.mark.parametrize("source", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("target", [d for d in dtypes.ALL if d.is_integer], ids=str)
def test_float_to_integer_saturates(backend: Backend, source: str, target: DType) -> None:
    kind = dtypes.dtype_of(source)
    if kind not in backend.dtypes:
        pytest.skip(f"no {source}")
    limits = np.iinfo(target.numpy)
    with np.errstate(over="ignore"):
        values = np.array([0.0, -0.0, 2.5, 100.0, math.nan, math.inf, -math.inf, 6e4, 1e30]).astype(kind.numpy)
    found = run(
        backend,
        lambda xp, x: xp.astype(x, target),
        values,
        results=[ResultType(target, values.shape)],
    )
    expected = [
        0 if math.isnan(v) else limits.max if v >= limits.max else limits.min if v <= limits.min else int(v)
        for v in values.astype(np.float64)
    ]
    assert found.dtype == target.numpy
    assert [int(v) for v in found] == expected


def test_conversion_to_bool_and_back(backend: Backend) -> None:
    assert list(run(backend, lambda xp, x: xp.astype(x, dtypes.bool_), [0.0, -0.0, 0.5, math.nan])) == [
        False,
        False,
        True,
        True,
    ]
    assert list(run(backend, lambda xp, x: xp.astype(x, dtypes.float32), [True, False])) == [1.0, 0.0]


def test_argmax_rules(backend: Backend) -> None:
    x = np.array([[1.0, 3.0, 3.0], [math.nan, 9.0, math.nan], [2.0, math.nan, 1.0]])
    assert list(run(backend, lambda xp, x: xp.argmax(x, axis=1), x)) == [1, 0, 1]
    assert list(run(backend, lambda xp, x: xp.argmin(x, axis=0), x)) == [1, 2, 1]
    assert run(backend, lambda xp, x: xp.argmax(x), x) == 3
    assert run(backend, lambda xp, x: xp.argmax(x, axis=1, keepdims=True), x).shape == (3, 1)
    assert run(backend, lambda xp, x: xp.argmax(x), [False, True, True]) == 1


@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16], ids=str)
def test_narrow_floats_are_summed_in_float32(backend: Backend, dtype: DType) -> None:
    if dtype not in backend.dtypes:
        pytest.skip(f"no {dtype}")
    ones = np.ones((3000,), dtype.numpy)
    assert float(run(backend, lambda xp, x: xp.sum(x), ones)) == float(np.float32(3000).astype(dtype.numpy))
    product = run(backend, lambda xp, a: xp.dot_general(a, a, ((0,), (0,))), ones)
    assert product.dtype == dtype.numpy
    assert float(product) == float(np.float32(3000).astype(dtype.numpy))


def test_sums_keep_their_dtype(backend: Backend) -> None:
    assert run(backend, lambda xp, x: xp.sum(x), np.ones(300, np.int8)).dtype == np.int8
    assert run(backend, lambda xp, x: xp.sum(x, dtype=dtypes.int32), np.ones(300, np.int8)) == 300


@pytest.mark.parametrize(
    ("contract", "batch", "subscripts"),
    [
        (((1,), (0,)), ((), ()), "abc,bde->acde"),
        (((2, 0), (1, 2)), ((), ()), "abc,dca->bd"),
        (((2,), (0,)), ((0,), (2,)), "abc,cda->abd"),
        (((), ()), ((1,), (0,)), "abc,bde->bacde"),
    ],
)
def test_dot_general(backend: Backend, contract: Any, batch: Any, subscripts: str) -> None:
    sizes = dict(zip("abcde", (2, 3, 4, 5, 6), strict=True))
    rng = np.random.default_rng(0)
    lhs, rhs = (rng.normal(size=[sizes[c] for c in part]) for part in subscripts.split("->")[0].split(","))
    found = run(backend, lambda xp, a, b: xp.dot_general(a, b, contract, batch), lhs, rhs)
    assert np.allclose(found, np.einsum(subscripts, lhs, rhs))


def test_dot_general_of_empty_and_integers(backend: Backend) -> None:
    empty = run(backend, lambda xp, a, b: xp.dot_general(a, b, ((1,), (0,))), np.zeros((2, 0)), np.zeros((0, 3)))
    assert np.array_equal(empty, np.zeros((2, 3)))
    ints = np.full((2, 2), 100, np.int8)
    wide = run(backend, lambda xp, a: xp.dot_general(a, a, ((1,), (0,)), dtype=dtypes.int32), ints)
    assert (wide == 20_000).all()


def pad_reference(x: np.ndarray, low: int, high: int, interior: int) -> np.ndarray:
    spread: list[float] = []
    for index, value in enumerate(x):
        spread += ([-1.0] * interior if index else []) + [value]
    whole = [-1.0] * low + spread if low >= 0 else spread[-low:]
    return np.array(whole + [-1.0] * high if high >= 0 else whole[:high])


@pytest.mark.parametrize("size", [0, 1, 4])
@pytest.mark.parametrize("config", [(0, 0, 0), (1, 2, 0), (0, 1, 2), (-1, 3, 1), (2, -1, 0), (-2, -1, 3)])
def test_pad(backend: Backend, size: int, config: tuple[int, int, int]) -> None:
    low, high, interior = config
    spread = size + max(size - 1, 0) * interior
    if spread + low + high < 0 or (size == 0 and min(low, high) < 0):
        pytest.skip("crops more than there is")
    x = np.arange(1.0, size + 1)
    found = run(backend, lambda xp, x: xp.pad(x, -1.0, (low,), (high,), (interior,)), x)
    assert np.array_equal(found, pad_reference(x, low, high, interior))


def test_pad_of_two_axes(backend: Backend) -> None:
    found = run(backend, lambda xp, x, v: xp.pad(x, v, (1, 0), (0, 2), (0, 1)), np.arange(4).reshape(2, 2), np.int64(9))
    assert found.tolist() == [[9, 9, 9, 9, 9], [0, 9, 1, 9, 9], [2, 9, 3, 9, 9]]


@pytest.mark.parametrize(("start", "expected"), [(0, 0), (3, 3), (99, 6), (-5, 0)])
def test_dynamic_slices_are_clamped(backend: Backend, start: int, expected: int) -> None:
    x = np.arange(20).reshape(2, 10)
    row, column = np.int32(0), np.int32(start)
    found = run(backend, lambda xp, x, *s: xp.dynamic_slice(x, s, (2, 4)), x, row, column)
    assert np.array_equal(found, x[:, expected : expected + 4])
    update = np.full((1, 4), -1)
    found = run(backend, lambda xp, x, u, *s: xp.dynamic_update_slice(x, u, s), x, update, row, column)
    changed = x.copy()
    changed[0:1, expected : expected + 4] = -1
    assert np.array_equal(found, changed)


def test_reads_clamp_and_writes_drop(backend: Backend) -> None:
    x = np.arange(12.0).reshape(3, 4)
    rows = np.array([[2, -7], [1, 99]])
    assert np.array_equal(run(backend, lambda xp, x, i: xp.take(x, i, axis=0), x, rows), x[[[2, 0], [1, 2]]])
    along = run(backend, lambda xp, x, i: xp.take_along_axis(x, i, 1), x, np.array([[9], [0], [-1]]))
    assert along.tolist() == [[3.0], [4.0], [8.0]]
    points = np.array([[0, 1], [2, 9]])
    assert run(backend, lambda xp, x, i: xp.gather(x, i), x, points).tolist() == [1.0, 11.0]
    column = run(backend, lambda xp, x, i: xp.gather(x, i, (1,)), x, np.array([[3], [0]]))
    assert column.tolist() == [[3.0, 7.0, 11.0], [0.0, 4.0, 8.0]]
    where = np.array([[1], [1], [3], [-1]])
    added = run(backend, lambda xp, x, i, u: xp.indexed_add(x, i, u), x, where, np.ones((4, 4)))
    assert np.array_equal(added, x + np.array([[0], [2], [0]]))
    put = run(backend, lambda xp, x, i, u: xp.indexed_put(x, i, u, (1,)), x, np.array([[0], [0]]), np.eye(2, 3))
    assert put[:, 0].tolist() == [0.0, 1.0, 0.0]


def test_bits(backend: Backend) -> None:
    x = np.array([0, 1, 255, -1, -(2**31)], np.int32)
    assert run(backend, lambda xp, x: xp.population_count(x), x).tolist() == [0, 1, 8, 32, 1]
    assert run(backend, lambda xp, x: xp.count_leading_zeros(x), x).tolist() == [32, 31, 24, 0, 0]
    floats = np.array([1.0, -0.0, math.inf], np.float32)
    found = run(
        backend,
        lambda xp, x: xp.bitcast(x, dtypes.uint32),
        floats,
        results=[ResultType(dtypes.uint32, (3,))],
    )
    assert np.array_equal(found, floats.view(np.uint32))
    with pytest.raises(DTypeError, match="sizes differ, got float32 and int64"):
        run(backend, lambda xp, x: xp.bitcast(x, dtypes.int64), floats)


def test_unsigned_arithmetic_wraps_on_every_library(backend: Backend) -> None:
    x = np.array([0xFFFFFFFF, 3], np.uint32)
    types = [ResultType(dtypes.uint32, (2,))]
    found = run(backend, lambda xp, x: xp.bitwise_left_shift(xp.add(x, x), xp.ones_like(x)), x, results=types)
    assert found.tolist() == [0xFFFFFFFC, 12]


SPECIAL = np.array([0.0, -0.0, 1e-300, 1e-9, 0.3, -0.5, 0.9, 1.2, -1.3, 2.7, 3.5, -5.9, 7.0, 26.0, 30.0, -700.0])


@pytest.mark.parametrize("name", ["erf", "erfc", "cbrt"])
def test_special_functions_against_libm(backend: Backend, name: str) -> None:
    reference = np.array([_libm(name, v) for v in SPECIAL])
    found = run(backend, lambda xp, x: getattr(xp, name)(x), SPECIAL)
    assert np.all(np.abs(found - reference) <= 4 * np.spacing(np.abs(reference)))
    narrow = run(backend, lambda xp, x: getattr(xp, name)(x), SPECIAL.astype(np.float32))
    assert narrow.dtype == np.float32
    edge = run(backend, lambda xp, x: getattr(xp, name)(x), [math.inf, -math.inf, math.nan])
    assert np.array_equal(edge, [_libm(name, v) for v in (math.inf, -math.inf, math.nan)], equal_nan=True)


def _libm(name: str, value: float) -> float:
    return float(np.cbrt(value)) if name == "cbrt" else float(getattr(math, name)(value))


def test_erfinv_undoes_erf(backend: Backend) -> None:
    x = np.concatenate([np.linspace(-0.999, 0.999, 101), 1 - 2.0 ** -np.arange(10, 53)])
    y = run(backend, lambda xp, x: xp.erfinv(x), x)
    complement = np.array([math.erfc(abs(v)) for v in y])
    assert np.allclose(complement, 1 - np.abs(x), rtol=1e-12, atol=0)
    edge = run(backend, lambda xp, x: xp.erfinv(x), np.array([1.0, -1.0, 2.0, -0.0], np.float32))
    assert np.array_equal(edge, np.array([np.inf, -np.inf, np.nan, -0.0], np.float32), equal_nan=True)
    assert np.signbit(edge[3])


def test_logistic_does_not_overflow(backend: Backend) -> None:
    x = np.array([-1000.0, -1.0, 0.0, 1.0, 1000.0, math.nan])
    found = run(backend, lambda xp, x: xp.logistic(x), x)
    expected = [0.0, 1 / (1 + math.e), 0.5, 1 / (1 + math.exp(-1)), 1.0, math.nan]
    assert np.allclose(found, expected, equal_nan=True, rtol=1e-15)
    assert np.allclose(run(backend, lambda xp, x: xp.rsqrt(x), [4.0, 0.25]), [0.5, 2.0])


def test_bfloat16_works_on_numpy() -> None:
    backend = get_backend("numpy")
    x = np.array([1.0, 2.5, math.nan, -3.0], dtypes.bfloat16.numpy)
    for evaluate, expected in (
        (lambda xp, x: xp.exp(x), np.exp(x.astype(np.float32))),
        (lambda xp, x: xp.pad(x, 0.0, (1,), (0,), (0,)), [0.0, 1.0, 2.5, math.nan, -3.0]),
        (lambda xp, x: xp.where(xp.isnan(x), xp.zeros_like(x), x), [1.0, 2.5, 0.0, -3.0]),
    ):
        found = run(backend, evaluate, x)
        assert found.dtype == dtypes.bfloat16.numpy
        assert np.array_equal(found, np.asarray(expected).astype(dtypes.bfloat16.numpy), equal_nan=True)
    assert run(backend, lambda xp, x: xp.argmax(x), x) == 2


# null and cpu.
def test_null_counts_and_runs_nothing() -> None:
    backend = get_backend("null")
    x = backend.asarray(np.ones((4, 2), np.float32))
    before = backend.statistics()

    def explode(*_: Any) -> Any:
        raise AssertionError("the null backend ran an op")

    (y,) = backend.run_op(Op(explode, "matmul"), [x, x], {}, [ResultType(dtypes.float64, (4, 4))])
    now = backend.statistics()
    assert (backend.shape(y), backend.dtype(y)) == ((4, 4), dtypes.float64)
    assert now.operations == before.operations + 1
    assert now.live_bytes == before.live_bytes + 128
    assert backend.to_numpy(y).shape == (4, 4)
    assert backend.deallocate(y)
    assert not backend.deallocate(y)
    del y
    assert backend.statistics().live_bytes == before.live_bytes
    with pytest.raises(ArgumentError, match="matmul: the null backend computes nothing"):
        backend.run_op(Op(explode, "matmul"), [x], {})


def test_cpu_runs_what_the_compiler_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = get_backend("cpu")
    x = backend.asarray(np.ones((2, 2), np.float32))
    monkeypatch.setattr(cpu_backend, "_runner", None)
    monkeypatch.setattr(cpu_backend, "_load", None)
    with pytest.raises(DeviceError, match="add: the cpu backend has no compiler"):
        backend.run_op(Op(lambda xp, a: a, "add"), [x], {})
    seen = []

    def runner(operation: Any, operands: Any, attributes: Any, results: Any) -> Any:
        seen.append((operation.name, dict(attributes), results))
        return [operands[0].copy()]

    cpu_backend.install_eager(lambda: runner)
    (y,) = backend.run_op(Op(lambda xp, a: a, "add"), [x], {"k": 1}, None)
    assert seen == [("add", {"k": 1}, None)]
    assert np.array_equal(backend.to_numpy(y), np.ones((2, 2)))
    assert backend.statistics().live_bytes >= y.nbytes
    assert backend.deallocate(y)
    with pytest.raises(DeviceError, match="it was deallocated"):
        backend.to_numpy(y)
