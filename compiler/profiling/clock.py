"""What profiled code calls: a clock, and a log it writes to without locks or Python.

The log is a NumPy array of 64-bit numbers: events written, then two numbers a site (calls, nanoseconds), then the events
themselves, three numbers each (site, start, end) until there is no more room. One thread, the caller's, writes it.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

from phalanx.compiler.passes.profile_calls import NOTE, NOW
from phalanx.compiler.targets.isa import isa as instruction_set
from phalanx.compiler.targets.llvm_c import TargetMachine, parse
from phalanx.runtime import jit

_HEADER = 1


class Event(NamedTuple):
    """One call: which site, and its nanoseconds since the first event."""

    site: int
    start: int
    end: int


class Clock:
    """The log of one profiled executable; `symbols` goes to the loader, and the clock must outlive the code."""

    def __init__(self, sites: int, events: int) -> None:
        self._sites = sites
        self._room = events
        self._log = np.zeros(_HEADER + 2 * sites + 3 * events, np.int64)
        target = instruction_set(None)
        with parse(self._text(), "clock") as module, \
                TargetMachine(target.triple, target.cpu, target.features) as machine:
            module.set_target(machine)
            module.verify()
            self._code = jit.load(module.emit_object(machine))
        self.symbols = {name: self._code.address(name) for name in (NOW, NOTE)}

    def clear(self) -> None:
        """Forget everything."""
        self._log[:] = 0

    @property
    def calls(self) -> list[int]:
        """Calls of each site."""
        return [int(n) for n in self._log[_HEADER:_HEADER + 2 * self._sites:2]]

    @property
    def nanoseconds(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Time in each site, added up so far."""
        return self._log[_HEADER + 1:_HEADER + 2 * self._sites:2].copy()

    @property
    def missed(self) -> int:
        """Events there was no room for; the sums have them."""
        return max(0, int(self._log[0]) - self._room)

    def events(self) -> list[Event]:
        """What happened, in order, as far as there was room."""
        count = min(int(self._log[0]), self._room)
        first = _HEADER + 2 * self._sites
        rows = self._log[first:first + 3 * count].reshape(count, 3)
        origin = int(rows[0, 1]) if count else 0
        return [Event(int(site), int(start) - origin, int(end) - origin) for site, start, end in rows]

    def _text(self) -> str:
        """Both functions as LLVM IR, the log's address written into it."""
        log = self._log.ctypes.data
        return f"""
declare i32 @clock_gettime(i32, ptr)
define i64 @{NOW}() {{
  %time = alloca [2 x i64]
  %status = call i32 @clock_gettime(i32 {time.CLOCK_MONOTONIC}, ptr %time)
  %seconds = load i64, ptr %time
  %rest.at = getelementptr i64, ptr %time, i64 1
  %rest = load i64, ptr %rest.at
  %whole = mul i64 %seconds, 1000000000
  %now = add i64 %whole, %rest
  ret i64 %now
}}
define void @{NOTE}(i64 %site, i64 %start) {{
entry:
  %end = call i64 @{NOW}()
  %log = inttoptr i64 {log} to ptr
  %twice = shl i64 %site, 1
  %calls.number = add i64 %twice, {_HEADER}
  %calls.at = getelementptr i64, ptr %log, i64 %calls.number
  %sum.at = getelementptr i64, ptr %calls.at, i64 1
  %calls = load i64, ptr %calls.at
  %calls.more = add i64 %calls, 1
  store i64 %calls.more, ptr %calls.at
  %took = sub i64 %end, %start
  %sum = load i64, ptr %sum.at
  %sum.more = add i64 %sum, %took
  store i64 %sum.more, ptr %sum.at
  %count = load i64, ptr %log
  %count.more = add i64 %count, 1
  store i64 %count.more, ptr %log
  %room = icmp ult i64 %count, {self._room}
  br i1 %room, label %keep, label %done
keep:
  %thrice = mul i64 %count, 3
  %event.number = add i64 %thrice, {_HEADER + 2 * self._sites}
  %event = getelementptr i64, ptr %log, i64 %event.number
  store i64 %site, ptr %event
  %start.at = getelementptr i64, ptr %event, i64 1
  store i64 %start, ptr %start.at
  %end.at = getelementptr i64, ptr %event, i64 2
  store i64 %end, ptr %end.at
  br label %done
done:
  ret void
}}
"""
