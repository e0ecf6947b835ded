"""Views: transposes, slices, reshapes and broadcasts as sizes, strides and an offset, never as code."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from phalanx.compiler.clusters.sizes import Size, add, multiply, product, row_major
from phalanx.dialects.records import record


@record
class View:
    """Which elements of a tensor's storage a value shows: element (i, j) is at `offset + i*s0 + j*s1`."""

    sizes: tuple[Size, ...]
    strides: tuple[Size, ...]
    offset: Size = 0

    @staticmethod
    def whole(sizes: Sequence[Size]) -> View:
        """A contiguous row-major array."""
        return View(tuple(sizes), row_major(tuple(sizes)))

    @property
    def contiguous(self) -> bool:
        """True when the elements lie one after the other in row-major order (offset aside)."""
        expected = row_major(self.sizes)
        return all(s == 1 or a == b for s, a, b in zip(self.sizes, self.strides, expected, strict=True))

    @property
    def tidy(self) -> View:
        """The same elements; contiguous ones with row-major strides also where a size of 1 allowed any stride."""
        return View(self.sizes, row_major(self.sizes), self.offset) if self.contiguous else self

    def permute(self, permutation: Sequence[int]) -> View:
        """Dimension i of the result is dimension `permutation[i]`."""
        return View(tuple(self.sizes[p] for p in permutation), tuple(self.strides[p] for p in permutation), self.offset)

    def broadcast(self, sizes: Sequence[Size], added: Sequence[int]) -> View:
        """Insert the dimensions `added` (positions in the result) with stride 0."""
        kept = iter(self.strides)
        return View(tuple(sizes), tuple(0 if d in added else next(kept) for d in range(len(sizes))), self.offset)

    def slice(
        self, offsets: Sequence[Size], sizes: Sequence[Size], steps: Sequence[Size], dropped: Sequence[int] = ()
    ) -> View:
        """`tensor.extract_slice`, without the unit dimensions `dropped`."""
        offset = self.offset
        for start, stride in zip(offsets, self.strides, strict=True):
            offset = add(offset, multiply(start, stride))
        kept = [d for d in range(len(sizes)) if d not in dropped]
        strides = tuple(multiply(self.strides[d], steps[d]) for d in kept)
        return View(tuple(sizes[d] for d in kept), strides, offset)

    def expand(self, groups: Sequence[Sequence[int]], sizes: Sequence[Size]) -> View:
        """`tensor.expand_shape`: always a view."""
        strides: list[Size] = [1] * len(sizes)
        for group, stride in zip(groups, self.strides, strict=True):
            step = stride
            for d in reversed(group):
                strides[d] = step
                step = multiply(step, sizes[d])
        return View(tuple(sizes), tuple(strides), self.offset)

    def collapse(self, groups: Sequence[Sequence[int]]) -> View | None:
        """`tensor.collapse_shape`; None when the elements of a group are not evenly spaced."""
        if not groups:
            return View((), (), self.offset)
        sizes: list[Size] = []
        strides: list[Size] = []
        for group in groups:
            dims = [d for d in group if self.sizes[d] != 1]
            for outer, inner in pairwise(dims):
                if self.strides[outer] != multiply(self.sizes[inner], self.strides[inner]):
                    return None
            sizes.append(product(self.sizes[d] for d in group))
            strides.append(self.strides[dims[-1]] if dims else 1)
        return View(tuple(sizes), tuple(strides), self.offset)


@record
class Access:
    """How a loop nest touches a tensor: element `offset + sum(index[d] * steps[d])` of its storage."""

    offset: Size
    steps: tuple[Size, ...]

    @staticmethod
    def of(view: View, forms: Sequence[tuple[int, dict[int, int]]], rank: int) -> Access:
        """Compose a view with an indexing map given as one linear form (constant, {dim: factor}) per result."""
        offset = view.offset
        steps: list[Size] = [0] * rank
        for (constant, factors), stride in zip(forms, view.strides, strict=True):
            offset = add(offset, multiply(constant, stride))
            for d, factor in factors.items():
                steps[d] = add(steps[d], multiply(factor, stride))
        return Access(offset, tuple(steps))

    def keep(self, dims: Sequence[int]) -> Access:
        """The same access seen from a nest that has only the dimensions `dims`, in that order."""
        return Access(self.offset, tuple(self.steps[d] for d in dims))
