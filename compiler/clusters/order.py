"""A topological order that grows edge by edge and refuses cycles (Pearce and Kelly, 2006)."""

from __future__ import annotations


class Order:
    """Numbered steps with "must come before" edges; `rank` is always a valid order.

    A search that would visit more than `window` steps counts as a refusal, so every operation is cheap.
    """

    def __init__(self, window: int = 512) -> None:
        self.rank: list[int] = []
        self.after: list[set[int]] = []
        self.before: list[set[int]] = []
        self.window = window

    def append(self) -> int:
        """A new last step."""
        self.rank.append(len(self.rank))
        self.after.append(set())
        self.before.append(set())
        return len(self.rank) - 1

    def _search(self, start: int, low: int, high: int, neighbours: list[set[int]]) -> set[int] | None:
        found = {start}
        stack = [start]
        while stack:
            for step in neighbours[stack.pop()]:
                if step not in found and low <= self.rank[step] <= high:
                    found.add(step)
                    stack.append(step)
            if len(found) > self.window:
                return None
        return found

    def reaches(self, start: int, goals: set[int]) -> bool:
        """True when a goal is (or may be) forced to come after `start`."""
        if start in goals:
            return True
        high = max((self.rank[goal] for goal in goals), default=-1)
        if high < self.rank[start]:
            return False
        found = self._search(start, self.rank[start], high, self.after)
        return found is None or bool(found & goals)

    def edge(self, first: int, second: int) -> bool:
        """Make `first` come before `second`; False, and nothing changed, when that is not possible."""
        if first == second:
            return False
        if second in self.after[first]:
            return True
        low, high = self.rank[second], self.rank[first]
        if high > low:
            forward = self._search(second, low, high, self.after)
            backward = self._search(first, low, high, self.before)
            if forward is None or backward is None or first in forward:
                return False
            moved = sorted(backward, key=self.rank.__getitem__) + sorted(forward, key=self.rank.__getitem__)
            places = sorted(self.rank[step] for step in moved)
            for step, place in zip(moved, places, strict=True):
                self.rank[step] = place
        self.after[first].add(second)
        self.before[second].add(first)
        return True

    def insert(self, second: int) -> int | None:
        """A new step that comes before `second`; None when that is not possible."""
        step = self.append()
        if self.edge(step, second):
            return step
        for numbers in (self.rank, self.after, self.before):
            numbers.pop()
        return None

    def edges(self, firsts: set[int], second: int) -> bool:
        """Make all of `firsts` come before `second`; False when that is not possible."""
        if self.reaches(second, firsts):
            return False
        accepted = [self.edge(first, second) for first in firsts]
        return all(accepted)

    def sequence(self) -> list[int]:
        """All steps in order."""
        return sorted(range(len(self.rank)), key=self.rank.__getitem__)
