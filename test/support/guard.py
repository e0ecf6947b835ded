"""Arrays at the edge of memory that may not be touched, and a child process to use them in.

Code that reads or writes one element too far ends the child with SIGSEGV, and `survives` names the case:

    def case(size):
        x = guarded(np.ones(size, np.float32))
        kernel([x])

    survives(case, [1, 15, 16, 17])

Put this folder on `sys.path` and import `guard`; `case` must be a function at the top of its file, and what it is
called with a literal.
"""

from __future__ import annotations

import ast
import ctypes
import inspect
import mmap
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_NOTHING = 0  # PROT_NONE
_DONE = "this case is done"
_kept: list[mmap.mmap] = []


def guarded(array: np.ndarray[Any, Any], *, edge: str = "end") -> np.ndarray[Any, Any]:
    """A copy (in C order) whose last element stands in front of unreadable memory, or whose first stands behind it.

    The memory is never given back: the process is meant to be short.
    """
    page = mmap.PAGESIZE
    whole = -(-max(array.nbytes, 1) // page) * page
    memory = mmap.mmap(-1, whole + 2 * page)
    _kept.append(memory)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for start in (base, base + page + whole):
        if protect(start, page, _NOTHING):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = page if edge == "start" else page + whole - array.nbytes
    placed = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    placed[...] = array
    return placed


def survives(function: Callable[[Any], None], cases: Sequence[Any], seconds: float = 300) -> None:
    """Calls `function(case)` for every case in a child process; AssertionError names the one that failed or ended it."""
    command = [sys.executable, __file__, inspect.getfile(function), function.__name__, repr(list(cases))]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    done = child.stdout.splitlines().count(_DONE)
    if done < len(cases):
        raise AssertionError(
            f"{cases[done]}: the process ended with {child.returncode} (-11: memory outside was touched)\n{child.stderr}"
        )


def _run(file: str, name: str, cases: Sequence[Any]) -> None:
    """The child: a line after every case."""
    function = runpy.run_path(file)[name]
    for case in cases:
        function(case)
        print(_DONE, flush=True)


if __name__ == "__main__":
    _run(sys.argv[1], sys.argv[2], ast.literal_eval(sys.argv[3]))
