"""Random programs for the clusters stage: NumPy's results beside the text that should compute them."""

from __future__ import annotations

from typing import Any

import numpy as np
from cluster_programs import T, Text

Value = tuple[T, Any]


class RandomProgram:
    """Values over a few shapes, grown op by op; loops and branches nest once."""

    def __init__(self, seed: int, ops: int = 20, dynamic: bool = False) -> None:
        self.random = np.random.default_rng(seed)
        self.n = int(self.random.integers(2, 6))
        self.text = Text(["n"] if dynamic else [])
        self.size: Any = "n" if dynamic else self.n
        rows: tuple[Any, ...] = (self.size, 4)
        self.inputs: list[Any] = []
        self.values: list[Value] = []
        for shape, sizes in ((rows, (self.n, 4)), ((4,), (4,)), ((4, 4), (4, 4)), (rows, (self.n, 4)), ((), ())):
            array = (self.random.standard_normal(sizes) * 0.5).astype(np.float32)
            self.inputs.append(array)
            self.values.append((self.text.argument(*shape), array))
        for _ in range(ops):
            self.grow(self.values, depth=0)
        made = self.values[len(self.inputs) :]
        chosen = self.random.permutation(len(made))[: int(self.random.integers(1, 5))]
        self.outputs = [made[i] for i in chosen]
        if self.random.random() < 0.3:
            self.outputs.append(self.outputs[0])
        if self.random.random() < 0.2:
            self.outputs.append(self.values[0])
        self.source = self.text.finish([t for t, _ in self.outputs])
        self.expected = [array for _, array in self.outputs]
        self.dims = [self.n] if dynamic else []

    def pick(self, values: list[Value], shape: tuple[Any, ...] | None = None) -> Value:
        fitting = [v for v in values if shape is None or v[0].shape == shape]
        recent = fitting[-6:] if self.random.random() < 0.7 else fitting
        return recent[int(self.random.integers(len(recent)))]

    def grow(self, values: list[Value], depth: int) -> None:
        kinds = ["unary", "unary", "binary", "binary", "binary", "row", "reduce", "column", "matmul", "gram"]
        kinds += [
            "transpose",
            "insert",
            "insert",
            "slice",
            "total",
            "scalar",
            "fill",
            "reverse",
            "fold",
            "fold",
            "shift",
            "join",
        ]
        if depth == 0:
            kinds += ["loop", "loop", "branch", "while"]
        made = getattr(self, "_" + str(self.random.choice(kinds)))(values, depth)
        values.extend(made)

    # Every op keeps values bounded, so that rounding differences stay small.

    def _unary(self, values: list[Value], depth: int) -> list[Value]:
        t, a = self.pick(values)
        if self.random.random() < 0.5:
            return [(self.text.unary("math.tanh", t), np.tanh(a))]
        return [(self.text.scale(t, "-0.5"), a * np.float32(-0.5))]

    def _binary(self, values: list[Value], depth: int) -> list[Value]:
        t, a = self.pick(values)
        u, b = self.pick(values, t.shape)
        halved = self.text.elementwise("%s = arith.addf %x0, %x1 : f32\n%r = math.tanh %s : f32", [t, u])
        return [(halved, np.tanh(a + b))]

    def _row(self, values: list[Value], depth: int) -> list[Value]:
        t, a = self.pick(values, (self.size, 4))
        u, b = self.pick(values, (4,))
        return [(self.text.binary("mulf", t, self.text.unary("math.tanh", u)), a * np.tanh(b))]

    def _reduce(self, values: list[Value], depth: int) -> list[Value]:
        t, a = self.pick(values, (self.size, 4))
        mean = self.text.scale(self.text.reduce(t, [1]), "0.25")
        centred = self.text.binary("subf", t, mean, maps=["d0, d1", "d0"])
        return [(centred, a - a.sum(1, keepdims=True) * np.float32(0.25))]

    def _column(self, values: list[Value], depth: int) -> list[Value]:
        t, a = self.pick(values, (self.size, 4))
        total = self.text.unary("math.tanh", self.text.reduce(t, [0]))
        return [(total, np.tanh(a.sum(0)))]

    def _matmul(self, values: list[Value], depth: int) -> list[Value]:
        t, a = self.pick(values, (self.size, 4))
        u, b = self.pick(values, (4, 4))
        return [(self.text.unary("math.tanh", self.text.matmul(t, u)), np.tanh(a @ b))]

    def _gram(self, values: list[Value], depth: int) -> list[Value]:
        t, a = self.pick(values, (self.size, 4))
        u, b = self.pick(values, (self.size, 4))
        return [(self.text.unary("math.tanh", self.text.matmul(self.text.transpose(t, [1, 0]), u)), np.tanh(a.T @ b))]

    def _transpose(self, values: list[Value], depth: int) -> list[Value]:
        t, a = self.pick(values, (4, 4))
        return [(self.text.transpose(t, [1, 0]), a.T)]

    def _insert(self, values: list[Value], depth: int) -> list[Value]:
        t, a = self.pick(values, (4, 4))
        u, b = self.pick(values, (4, 4))
        r, s, k, m = (int(self.random.integers(0, 3)) for _ in range(4))
        h, w = int(self.random.integers(1, 5 - max(r, k))), int(self.random.integers(1, 5 - max(s, m)))
        part, piece = self.text.slice(t, [r, s], [h, w]), a[r : r + h, s : s + w]
        if self.random.random() < 0.5:
            part, piece = self.text.scale(part, "0.5"), piece * np.float32(0.5)
        result = b.copy()
        result[k : k + h, m : m + w] = piece
        return [(self.text.insert(part, u, [k, m], [h, w]), result)]

    def _slice(self, values: list[Value], depth: int) -> list[Value]:
        t, a = self.pick(values, (4, 4))
        i = int(self.random.integers(4))
        if self.random.random() < 0.5:
            return [(self.text.slice(t, [i, 0], [1, 4], shape=[4]), a[i])]
        return [(self.text.slice(t, [0, i], [4, 1], shape=[4]), a[:, i])]

    def _total(self, values: list[Value], depth: int) -> list[Value]:
        t, a = self.pick(values, (4, 4))
        return [(self.text.unary("math.tanh", self.text.reduce(t, [0, 1])), np.tanh(a.sum()))]

    def _scalar(self, values: list[Value], depth: int) -> list[Value]:
        t, a = self.pick(values, ())
        u, b = self.pick(values, (4, 4))
        if self.random.random() < 0.5:
            t, a = self.text.scale(t, "0.5"), a * np.float32(0.5)
        return [(t, a), (self.text.binary("mulf", u, t, maps=["d0, d1", ""]), b * a)]

    def _fill(self, values: list[Value], depth: int) -> list[Value]:
        return [(self.text.fill([4, 4], "0.25"), np.full((4, 4), 0.25, np.float32))]

    def _reverse(self, values: list[Value], depth: int) -> list[Value]:
        t, a = self.pick(values, (4,))
        return [(self.text.elementwise("%r = arith.negf %x0 : f32", [t], [4], ["3 - d0"]), -a[::-1])]

    def _fold(self, values: list[Value], depth: int) -> list[Value]:
        """A value meets its own transpose or reversal: never in place."""
        t, a = self.pick(values, (4, 4))
        maps, other = (("d1, d0", a.T), ("3 - d0, d1", a[::-1]))[int(self.random.integers(2))]
        line = "%s = arith.addf %x0, %x1 : f32\n%r = math.tanh %s : f32"
        return [(self.text.elementwise(line, [t, t], [4, 4], ["d0, d1", maps]), np.tanh(a + other))]

    def _shift(self, values: list[Value], depth: int) -> list[Value]:
        """Rows 1.. replaced by a mean with the rows above, as in a stencil."""
        t, a = self.pick(values, (4, 4))
        below, above = self.text.slice(t, [1, 0], [3, 4]), self.text.slice(t, [0, 0], [3, 4])
        mean = self.text.scale(self.text.binary("addf", below, above), "0.5")
        result = a.copy()
        result[1:] = (a[1:] + a[:-1]) * np.float32(0.5)
        return [(self.text.insert(mean, t, [1, 0], [3, 4]), result)]

    def _join(self, values: list[Value], depth: int) -> list[Value]:
        """Columns of two values side by side."""
        t, a = self.pick(values, (4, 4))
        u, b = self.pick(values, (4, 4))
        left, right = self.text.slice(t, [0, 0], [4, 2]), self.text.slice(u, [0, 1], [4, 2])
        if self.random.random() < 0.6:
            left, right = self.text.unary("math.tanh", left), self.text.scale(right, "0.5")
            pieces = np.tanh(a[:, :2]), b[:, 1:3] * np.float32(0.5)
        else:
            pieces = a[:, :2], b[:, 1:3]
        joined = self.text.insert(left, self.text.empty([4, 4]), [0, 0], [4, 2])
        return [(self.text.insert(right, joined, [0, 2], [4, 2]), np.concatenate(pieces, 1))]

    # Control flow: the body is rebuilt for every iteration on NumPy's side, with the same random choices.

    def _carries(self, values: list[Value]) -> list[Value]:
        return [self.pick(values) for _ in range(int(self.random.integers(1, 4)))]

    def _body(self, seed: int, outer: list[Value], carried: list[Value], ops: int) -> list[Value]:
        keep, self.random = self.random, np.random.default_rng(seed)
        inner = [*outer, *carried]
        for _ in range(ops):
            self.grow(inner, depth=1)
        results = []
        for t, _ in carried:
            fitting = [v for v in inner[len(outer) :] if v[0].shape == t.shape]
            results.append(fitting[int(self.random.integers(len(fitting)))])
        self.random = keep
        return results

    def _silently(self, seed: int, outer: list[Value], carried: list[Value], ops: int) -> list[Value]:
        """One more iteration for NumPy only."""
        lines, count = len(self.text.lines), self.text.count
        results = self._body(seed, outer, carried, ops)
        del self.text.lines[lines:]
        self.text.count = count
        return results

    def _loop(self, values: list[Value], depth: int) -> list[Value]:
        inits, seed, ops = self._carries(values), int(self.random.integers(1 << 30)), int(self.random.integers(1, 6))
        trips = int(self.random.integers(0, 5))
        outer = list(values)

        def step(_: str, *inner: T) -> list[T]:
            carried = [(t, a) for t, (_, a) in zip(inner, inits, strict=True)]
            return [t for t, _ in self._body(seed, outer, carried, ops)]

        results = self.text.loop(trips, [t for t, _ in inits], step)
        state = [a for _, a in inits]
        for _ in range(trips):
            carried = [(t, a) for (t, _), a in zip(inits, state, strict=True)]
            state = [a for _, a in self._silently(seed, outer, carried, ops)]
        return list(zip(results, state, strict=True))

    def _while(self, values: list[Value], depth: int) -> list[Value]:
        inits, seed, ops = self._carries(values), int(self.random.integers(1 << 30)), int(self.random.integers(1, 6))
        trips = int(self.random.integers(0, 4))
        counter = self.text.fill([], f"{trips}.0")
        outer = list(values)

        def more(count: T, *inner: T) -> str:
            return self.text.compare("ogt", self.text.extract(count), "0.5")

        def step(count: T, *inner: T) -> list[T]:
            carried = [(t, a) for t, (_, a) in zip(inner, inits, strict=True)]
            less = self.text.scale(count, "-1.0", "addf")
            return [less, *(t for t, _ in self._body(seed, outer, carried, ops))]

        results = self.text.repeat_while([counter, *(t for t, _ in inits)], more, step)
        state = [a for _, a in inits]
        for _ in range(trips):
            carried = [(t, a) for (t, _), a in zip(inits, state, strict=True)]
            state = [a for _, a in self._silently(seed, outer, carried, ops)]
        return list(zip(results[1:], state, strict=True))

    def _branch(self, values: list[Value], depth: int) -> list[Value]:
        t, a = self.pick(values, ())
        inits, outer = self._carries(values), list(values)
        seeds, ops = [int(self.random.integers(1 << 30)) for _ in range(2)], int(self.random.integers(0, 4))
        sides: list[list[Value]] = []

        def side(k: int) -> list[T]:
            sides.append(self._body(seeds[k], outer, inits, ops))
            return [t for t, _ in sides[k]]

        condition = self.text.compare("ogt", self.text.extract(t), "0.0")
        results = self.text.branch(condition, lambda: side(0), lambda: side(1))
        return list(zip(results, [x for _, x in sides[0 if a > 0 else 1]], strict=True))
