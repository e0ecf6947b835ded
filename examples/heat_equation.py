"""Heat on a plate: a stencil from slices, the loop compiled, the state updated in place by donation.

    python examples/heat_equation.py
"""

from __future__ import annotations

import numpy as np

import phalanx as px

SIZE, STEPS, RATE = 64, 2000, 0.2


def laplacian(plate: px.Tensor) -> px.Tensor:
    """Sum of the four neighbours minus four times the point, inside the border."""
    return plate[:-2, 1:-1] + plate[2:, 1:-1] + plate[1:-1, :-2] + plate[1:-1, 2:] - 4.0 * plate[1:-1, 1:-1]


@px.defn(donate=("plate",))
def simulate(plate: px.Tensor, steps: int) -> px.Tensor:
    """`steps` explicit time steps; the border keeps its temperature. `steps` is a tensor: no recompile."""
    return px.fori_loop(0, steps, lambda _, p: p.at[1:-1, 1:-1].add(RATE * laplacian(p)), plate)


def main() -> None:
    plate = np.zeros((SIZE, SIZE), np.float32)
    plate[0] = 100.0
    reference = plate.copy()
    for _ in range(50):
        inside = reference[1:-1, 1:-1]
        neighbours = reference[:-2, 1:-1] + reference[2:, 1:-1] + reference[1:-1, :-2] + reference[1:-1, 2:]
        reference[1:-1, 1:-1] = inside + np.float32(RATE) * (neighbours - 4 * inside)
    np.testing.assert_allclose(simulate(px.asarray(plate), 50), reference, rtol=1e-4, atol=1e-4)

    hot = simulate(px.asarray(plate), STEPS)
    column = hot.numpy()[:, SIZE // 2]
    print("temperature down the middle:", column[::8].round(1))
    assert np.all(np.diff(column) <= 1e-3), "it gets colder away from the hot edge"
    assert 0 < column[SIZE // 4] < 100


if __name__ == "__main__":
    main()
