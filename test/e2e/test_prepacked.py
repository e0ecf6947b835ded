"""Captured matrices that products read packed ahead of time: same results as without, on every way to call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler import native
from phalanx.runtime.buffer import Buffer
from phalanx.runtime.prepacked import Panels, panels_from


def numbers(*shape: int, dtype: str = "float32") -> np.ndarray[Any, Any]:
    values = np.random.default_rng(sum(shape)).standard_normal(shape) * 8
    return values.astype(dtype)


def panels(compiled: Any) -> list[Panels]:
    prepacked = compiled.runner.executable.prepacked
    return list(prepacked.panels) if prepacked is not None else []


def both(function: Any, *arguments: np.ndarray[Any, Any], **options: Any) -> tuple[Any, Any, Any]:
    """Results with and without, and what was compiled with."""
    with px.options(prepack=False, **options):
        plain = px.compile(function, *arguments)
    with px.options(**options):
        packed = px.compile(function, *arguments)
    assert panels(plain) == []
    return packed(*arguments).numpy(), plain(*arguments).numpy(), packed


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("columns", [64, 97, 513])
@pytest.mark.parametrize("rows", [2, 13, 130])
def test_same_bits(dtype: str, columns: int, rows: int) -> None:
    weights, x = px.asarray(numbers(columns, 300, dtype=dtype)), numbers(rows, 300, dtype=dtype)
    found, plain, compiled = both(lambda x: x @ weights.T, x)
    np.testing.assert_array_equal(found, plain)
    (one,) = panels(compiled)
    assert (one.columns, one.depth, one.column_step, one.depth_step) == (columns, 300, 300, 1)


@pytest.mark.parametrize("isa", ["x86-64-v2", "x86-64-v3", "host"])
def test_every_register_block(isa: str) -> None:
    weights, bias = px.asarray(numbers(70, 101)), px.asarray(numbers(101))
    found, plain, compiled = both(lambda x: px.relu(x @ weights + bias), numbers(50, 70), isa=isa)
    np.testing.assert_array_equal(found, plain)
    assert len(panels(compiled)) == 1


def test_not_numbers_and_infinity() -> None:
    matrix = numbers(65, 80)
    matrix[3, 4], matrix[64, 0], matrix[10, 79] = np.nan, np.inf, -np.inf
    weights, x = px.asarray(matrix), numbers(30, 80)
    found, plain, _ = both(lambda x: x @ weights.T, x)
    np.testing.assert_array_equal(found, plain)
    assert np.isnan(found[:, 3]).all() and not np.isfinite(found[:, [10, 64]]).any()


def test_any_number_of_rows() -> None:
    weights = px.asarray(numbers(96, 128))
    compiled = px.compile(lambda x: px.tanh(x @ weights.T), "f32[n,128]")
    assert len(panels(compiled)) == 1
    for rows in (0, 1, 2, 11, 12, 200):
        x = numbers(rows, 128)
        np.testing.assert_allclose(compiled(x).numpy(), np.tanh(x @ weights.numpy().T), rtol=1e-4, atol=1e-4)


def test_part_of_a_matrix() -> None:
    weights = px.asarray(numbers(200, 150))
    found, plain, compiled = both(lambda x: x @ weights[7:180:2, 5:133].T, numbers(40, 128))
    np.testing.assert_array_equal(found, plain)
    for one in panels(compiled):
        assert (one.start, one.column_step) == (4 * (7 * 150 + 5), 300)


def test_layers_of_equal_structure_share_code_but_not_panels() -> None:
    layers = [px.asarray(numbers(64, 64) + number) for number in range(3)]

    def network(x: Any) -> Any:
        for layer in layers:
            x = px.tanh(x @ layer.T / 64)
        return x

    found, plain, compiled = both(network, numbers(33, 64))
    np.testing.assert_array_equal(found, plain)
    assert sorted(one.argument for one in panels(compiled)) == [1, 2, 3]


def test_a_matrix_with_another_reader_stays_as_it_is() -> None:
    weights = px.asarray(numbers(64, 64))
    found, plain, compiled = both(lambda x: x @ weights.T + px.sum(weights), numbers(40, 64))
    np.testing.assert_array_equal(found, plain)
    assert panels(compiled) == []


def test_a_captured_batch_of_matrices_stays_as_it_is() -> None:
    weights = px.asarray(numbers(3, 64, 96))
    found, plain, compiled = both(lambda x: x @ weights, numbers(3, 40, 64))
    np.testing.assert_array_equal(found, plain)
    assert panels(compiled) == []


def test_inside_a_loop() -> None:
    weights = px.asarray(numbers(64, 64) / 64)
    found, plain, _ = both(lambda x: px.fori_loop(0, 5, lambda i, x: px.tanh(x @ weights.T), x), numbers(40, 64))
    np.testing.assert_array_equal(found, plain)


def test_many_calls_and_the_native_entry() -> None:
    weights, x = px.asarray(numbers(64, 70)), px.asarray(numbers(8, 70))
    function = px.jit(lambda x: x @ weights.T)
    expected = x.numpy() @ weights.numpy().T
    for _ in range(40):
        np.testing.assert_allclose(function(x).numpy(), expected, rtol=1e-4, atol=1e-3)
    entry = px.compile(lambda x: x @ weights.T, x).entry
    np.testing.assert_allclose(entry(x).numpy(), expected, rtol=1e-4, atol=1e-3)


def test_equal_code_with_other_matrices() -> None:
    x = numbers(20, 64)
    for seed in range(3):
        weights = px.asarray(numbers(80, 64) * (seed + 1))
        compiled = px.compile(lambda x, w=weights: x @ w.T, x)
        np.testing.assert_allclose(compiled(x).numpy(), x @ weights.numpy().T, rtol=1e-4, atol=1e-3)


def test_from_the_cache_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, x = px.asarray(numbers(72, 64)), numbers(20, 64)
    with px.options(disk_cache=True, cache_dir=str(tmp_path / "cache")):
        first = px.compile(lambda x: x @ weights.T - 1.5, x)
        monkeypatch.setattr(native, "_loaded", type(native._loaded)(8))
        again = px.compile(lambda x: x @ weights.T - 1.5, x)
    assert "disk cache" in again.seconds
    assert panels(again) == panels(first) != []
    np.testing.assert_array_equal(again(x).numpy(), first(x).numpy())


def test_on_from_edited_ir() -> None:
    weights, x = px.asarray(numbers(72, 64)), numbers(20, 64)
    compiled = px.compile(lambda x: px.sqrt(px.abs(x @ weights.T)), x)
    for stage in ("px", "clusters", "scheduled", "llvm"):
        again = compiled.replace(stage, compiled.text(stage))
        np.testing.assert_array_equal(again(x).numpy(), compiled(x).numpy())


def test_profile_and_export(tmp_path: Path) -> None:
    weights, x = px.asarray(numbers(72, 64)), numbers(20, 64)
    compiled = px.compile(lambda x: x @ weights.T, x)
    assert "ahead of time" in str(compiled.explain())
    compiled.export(str(tmp_path / "product.so"), target="host", name="product")
    np.testing.assert_allclose(px.load(str(tmp_path / "product.so"))(x), compiled(x).numpy(), rtol=1e-5, atol=1e-4)


def test_another_matrix_in_its_place() -> None:
    weights, x = px.asarray(numbers(72, 64)), numbers(20, 64)
    runner: Any = px.compile(lambda x: x @ weights.T, x).runner
    for matrix in (numbers(72, 64), -numbers(72, 64)):
        (result,) = runner.executable([Buffer.from_numpy(x), Buffer.from_numpy(matrix)])
        np.testing.assert_allclose(result.to_numpy(), x @ matrix.T, rtol=1e-4, atol=1e-3)


def test_panels_as_numbers() -> None:
    one = Panels(3, 4, 16, 33, 7, 7, 1, 32)
    assert panels_from([*one.numbers(), *one.numbers()]) == (one, one)
    assert one.bytes == 4 * 64 * 7
