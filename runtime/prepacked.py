"""Captured matrices packed once for the products that read them: panels of columns, as wide as a register block.

Compiled code says which of its inputs it expects as `Panels`; whoever calls it passes the matrices as they are, and
the executable passes their panels on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from phalanx.dialects.records import record
from phalanx.runtime.allocator import Allocator, Memory


@record
class Panels:
    """Input number `argument` as panels of `width` columns, each with the whole depth; the last is filled up with zeros.

    An element has `nbytes` and the first one starts `start` bytes into the input; steps are in elements.
    """

    argument: int
    nbytes: int
    start: int
    columns: int
    column_step: int
    depth: int
    depth_step: int
    width: int

    def numbers(self) -> tuple[int, ...]:
        """The fields, in order."""
        return (self.argument, self.nbytes, self.start, self.columns, self.column_step, self.depth, self.depth_step,
                self.width)

    @property
    def bytes(self) -> int:
        """Size of all panels."""
        return -(-self.columns // self.width) * self.width * self.depth * self.nbytes

    def fill(self, memory: Memory, panels: Memory) -> None:
        """Write the panels of the matrix in `memory`."""
        kind, width = np.dtype(f"u{self.nbytes}"), self.width
        source = np.ndarray((self.columns, self.depth), kind, memory.bytes_view(), self.start,
                            (self.column_step * self.nbytes, self.depth_step * self.nbytes))
        count = self.columns // width
        target = np.ndarray((-(-self.columns // width), self.depth, width), kind, panels.bytes_view(writable=True))
        target[:count] = source[:count * width].reshape(count, width, self.depth).transpose(0, 2, 1)
        if count < len(target):
            target[count] = 0
            target[count, :, :self.columns - count * width] = source[count * width:].T


def panels_from(numbers: Sequence[int]) -> tuple[Panels, ...]:
    """What `numbers` of several panels, one after the other, say."""
    length = len(Panels.__match_args__)
    return tuple(Panels(*numbers[at:at + length]) for at in range(0, len(numbers), length))


class Prepacked:
    """The panels of an executable's inputs, made when a matrix is first seen and kept with it."""

    def __init__(self, panels: Iterable[Panels], allocator: Allocator) -> None:
        self._panels = {one.argument: one for one in panels}
        self._allocator = allocator
        self._known: dict[int, tuple[Memory, Memory]] = {}

    @property
    def panels(self) -> Iterable[Panels]:
        """What is packed."""
        return self._panels.values()

    def replace(self, memories: list[Memory]) -> list[Memory]:
        """The memory of all inputs with that of panels where they are expected."""
        found = list(memories)
        for number in self._panels:
            found[number] = self.memory(number, memories[number])
        return found

    def memory(self, number: int, memory: Memory) -> Memory:
        """What is passed as input `number` for a matrix in `memory`."""
        known = self._known.get(number)
        if known is not None and known[0] is memory:
            return known[1]
        panels = self._panels.get(number)
        if panels is None:
            return memory
        made = self._allocator.allocate(panels.bytes)
        panels.fill(memory, made)
        self._known[number] = memory, made
        return made
