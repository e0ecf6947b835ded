"""A bounded cache that forgets what was used longest ago."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The most recently used values by key; safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._values: OrderedDict[Any, T] = OrderedDict()
        self._lock = threading.Lock()
        _caches.add(self)

    def get(self, key: Any) -> T | None:
        """The value, which counts as used now."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: Any, value: T) -> T:
        """Keep a value; the one used longest ago goes when there are too many."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self.limit:
                self._values.popitem(last=False)
        return value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()

    def __len__(self) -> int:
        return len(self._values)


_caches: weakref.WeakSet[Recent[Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """A thread that held a lock at the fork is not there to release it."""
    for cache in _caches:
        cache._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
