"""k-means: distances by matrix product, sums per cluster by indexed addition, a loop until nothing moves.

    python examples/k_means.py
"""

from __future__ import annotations

import numpy as np

import phalanx as px

CENTRES = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [8.0, 8.0]], np.float32)
PER_CLUSTER = 100


def nearest(points: px.Tensor, centres: px.Tensor) -> px.Tensor:
    """Which centre each point is closest to; |p|² is the same for all centres and left out."""
    distances = px.sum(centres * centres, axis=1) - 2.0 * points @ centres.T
    return px.argmin(distances, axis=1)


@px.defn
def k_means(points: px.Tensor, start: px.Tensor) -> tuple[px.Tensor, px.Tensor]:
    """Centres, and the number of rounds it took."""

    def moved(state: tuple[px.Tensor, px.Tensor, px.Tensor]) -> px.Tensor:
        centres, before, rounds = state
        return (px.max(px.abs(centres - before)) > 1e-4) & (rounds < 100)

    def update(state: tuple[px.Tensor, px.Tensor, px.Tensor]) -> tuple[px.Tensor, px.Tensor, px.Tensor]:
        centres, _, rounds = state
        cluster = nearest(points, centres)
        sums = px.zeros_like(centres).at[cluster].add(points)
        counts = px.zeros(centres.shape[0]).at[cluster].add(px.ones(points.shape[0]))
        return px.where(counts[:, None] > 0, sums / px.maximum(counts, 1.0)[:, None], centres), centres, rounds + 1

    centres, _, rounds = px.while_loop(moved, update, (start, start + 1.0, px.asarray(0)))
    return centres, rounds


def main() -> None:
    rng = np.random.default_rng(0)
    points = (CENTRES[:, None] + rng.normal(size=(len(CENTRES), PER_CLUSTER, 2))).reshape(-1, 2).astype(np.float32)
    start = points[::PER_CLUSTER] + rng.normal(size=(len(CENTRES), 2)).astype(np.float32)
    centres, rounds = k_means(rng.permutation(points), start)
    print(f"after {int(rounds)} rounds:")
    print(centres)
    expected = points.reshape(len(CENTRES), PER_CLUSTER, 2).mean(axis=1)
    np.testing.assert_allclose(centres, expected, atol=0.2)


if __name__ == "__main__":
    main()
