"""The Mandelbrot set: `px.while_loop` for one point, `px.vmap` for the picture.

    python examples/mandelbrot.py
"""

from __future__ import annotations

import numpy as np

import phalanx as px

WIDTH, HEIGHT, LIMIT = 72, 28, 100

State = tuple[px.Tensor, px.Tensor, px.Tensor]


def escape_time(real: px.Tensor, imaginary: px.Tensor) -> px.Tensor:
    """Steps until z = z² + c leaves the circle of radius 2, at most LIMIT."""

    def inside(state: State) -> px.Tensor:
        x, y, count = state
        return (x * x + y * y <= 4.0) & (count < LIMIT)

    def step(state: State) -> State:
        x, y, count = state
        return x * x - y * y + real, 2.0 * x * y + imaginary, count + 1

    zero = px.zeros(())
    return px.while_loop(inside, step, (zero, zero, px.asarray(0)))[2]


def main() -> None:
    image = px.jit(px.vmap(px.vmap(escape_time, in_axes=(0, None)), in_axes=(None, 0)))
    counts = image(np.linspace(-2.1, 0.7, WIDTH, dtype=np.float32), np.linspace(-1.2, 1.2, HEIGHT, dtype=np.float32))
    shades = " .:-=+*#%@"
    for row in counts.numpy():
        print("".join(shades[min(int(np.log2(n + 1) * 1.4), 9)] for n in row))
    assert counts.shape == (HEIGHT, WIDTH)
    point = px.jit(escape_time)
    assert int(point(0.0, 0.0)) == LIMIT, "0 is in the set"
    assert int(point(-1.0, 0.0)) == LIMIT, "so is -1"
    assert int(point(1.0, 0.0)) == 3, "1 -> 2 -> 5 leaves"
    np.testing.assert_array_equal(counts, counts.numpy()[::-1], "the set is symmetric")


if __name__ == "__main__":
    main()
