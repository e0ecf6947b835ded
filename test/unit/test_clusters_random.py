"""Random programs with loops and branches: clustered, one op per cluster, and with the real schedules."""

from __future__ import annotations

import numpy as np
import pytest
from cluster_fuzz import RandomProgram
from cluster_programs import T, Text
from cluster_runner import check


@pytest.mark.parametrize("seed", range(24))
def test_random_programs(seed: int) -> None:
    program = RandomProgram(seed, ops=5 + seed, dynamic=seed % 3 == 0)
    check(program.source, program.inputs, program.expected, program.dims, rtol=1e-3, scheduled=True)


@pytest.mark.parametrize(("k", "m", "n"), [(1500, 24, 40), (17, 5, 9)])
def test_weights_updated_in_place_by_a_contraction(k: int, m: int, n: int) -> None:
    random = np.random.default_rng(k)
    text = Text()
    w, a, b = text.argument(m, n), text.argument(k, m), text.argument(k, n)

    def step(i: str, w: T) -> list[T]:
        return [text.binary("subf", w, text.scale(text.matmul(text.transpose(a, [1, 0]), b), "0.01"))]

    W, A, B = (random.standard_normal(s).astype(np.float32) for s in ((m, n), (k, m), (k, n)))
    expected = W - 3 * np.float32(0.01) * (A.T @ B)
    program = check(text.finish(text.loop(3, [w], step)), [W, A, B], [expected], rtol=2e-3, scheduled=True)
    assert "px.alias" in program.text


@pytest.mark.parametrize("axes", [[0], [1], [0, 1]])
def test_reductions_whose_result_replaces_their_input(axes: list[int]) -> None:
    random = np.random.default_rng(5)
    text = Text()
    x = text.argument(37, 65)
    kept = ", ".join(f"d{d}" for d in range(2) if d not in axes)

    def step(i: str, x: T) -> list[T]:
        total = text.scale(text.reduce(x, axes), "0.001")
        return [text.binary("subf", x, total, maps=["d0, d1", kept])]

    X = random.standard_normal((37, 65)).astype(np.float32)
    Y = X
    for _ in range(4):
        Y = Y - Y.sum(tuple(axes), keepdims=True) * np.float32(0.001)
    program = check(text.finish(text.loop(4, [x], step)), [X], [Y], rtol=1e-4, scheduled=True)
    assert "px.alias" in program.text
