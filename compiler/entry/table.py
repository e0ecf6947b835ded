"""What the native entry knows of one signature, laid out for machine code to read.

One piece of code serves every function; it gets a `Table` as `self`. Offsets in `code.py` come from the structures here.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any

Address = ctypes.c_void_p
Count = ctypes.c_int64

# How an argument may come; a record's `accepts` is a sum of these.
TENSOR, ARRAY, FLOAT32, INT32, BOOL, CAPTURED = 1, 2, 4, 8, 16, 32
# What `Table.result` says about the results; anything else is the address of a callable that puts them together.
ALONE, TUPLE = 0, 1
# Variables of the context that must be as they were when the table was made: options, trace, limit of threads.
VARIABLES = 3


class Record(ctypes.Structure):
    """One input of the code: what it may be, and what must be true of it."""

    _fields_ = [
        ("accepts", Count),
        ("aval", Address),      # the usual aval object; others are compared by dtype and shape
        ("dtype", Address),     # DType object
        ("shape", Address),     # tuple
        ("numpy", Address),     # np.dtype object
        ("rank", Count),
        ("sizes", Address),     # rank integers
        ("captured", Address),  # Buffer
    ]


class Slot(ctypes.Structure):
    """One result of one row: the tensor, and what must still be in it for its memory to be free."""

    _fields_ = [("tensor", Address), ("aval", Address), ("buffer", Address), ("memory", Address), ("address", Address)]


class Arena(ctypes.Structure):
    """Scratch memory of one row: where it is, and the object that a call without the GIL holds."""

    _fields_ = [("address", Address), ("memory", Address)]


class Table(ctypes.Structure):
    """Everything about one signature. Python objects named here are kept alive by `kept` and `rows_held`."""

    _fields_ = [
        ("arguments", Count),      # what the caller passes; captured tensors follow
        ("inputs", Count),
        ("results", Count),
        ("records", Address),
        ("rows", Count),
        ("next_row", Count),
        ("slots", Address),        # rows x results
        ("arenas", Address),       # an `Arena` per row
        ("backend", Address),
        ("device", Address),
        ("epoch_now", Address),    # where the number is that counts changes of the defaults
        ("epoch", Count),
        ("variables", Address * VARIABLES),
        ("expected", Address * VARIABLES),
        ("kernel", Address),       # px_entry
        ("threads", Count),        # 0: the code has no parallel loops
        ("threads_now", Address),  # omp_get_max_threads
        ("set_threads", Address),  # omp_set_num_threads
        ("releases", Count),       # whether other Python threads may run meanwhile
        ("result", Address),
        ("refill", Address),       # called with `own` when every row is in use
        ("own", Address),          # this object
        ("fallback", Address),     # called with the arguments when they do not fit; 0: NotImplemented is returned
    ]

    def __init__(self) -> None:
        super().__init__()
        #: whatever has its address in here
        self.kept: list[Any] = []
        #: the tensors of each row
        self.rows_held: list[list[Any]] = []
        self.make_row: Callable[[], tuple[list[Any], Any]] | None = None
        self.slots_view: Any = None
        self.arenas_view: Any = None
        self.refilling = threading.Lock()
        self.own, self.refill = id(self), id(refill)

    def keep(self, value: Any) -> int:
        """The address of a Python object, which lives as long as this table."""
        self.kept.append(value)
        return id(value)

    def set_rows(self, rows: int, results: int, make_row: Callable[[], tuple[list[Any], Any]]) -> None:
        """Room for `rows` sets of results; `make_row` gives new tensors and the memory for what is in between."""
        self.slots_view = (Slot * (rows * results))()
        self.arenas_view = (Arena * rows)()
        self.rows, self.results, self.make_row = rows, results, make_row
        self.rows_held = [[] for _ in range(rows)]
        self.slots, self.arenas = ctypes.addressof(self.slots_view), ctypes.addressof(self.arenas_view)

    def set_records(self, records: Sequence[Record], arguments: int) -> None:
        """What the inputs must be; the first `arguments` of them are passed by the caller."""
        laid_out = (Record * len(records))(*records)
        self.kept.append(laid_out)
        self.records, self.inputs, self.arguments = ctypes.addressof(laid_out), len(records), arguments


def refill(table: Table) -> None:
    """Put new tensors into the row that was handed out longest ago; the old ones belong to the caller by now.

    Other threads may look at the table between any two lines of this: a row without tensors is never free.
    While one of them is here already, nothing happens, and the call goes through Python.
    """
    if not table.refilling.acquire(blocking=False):
        return
    try:
        assert table.make_row is not None
        tensors, arena = table.make_row()
        row = table.next_row
        slots = [table.slots_view[row * table.results + position] for position in range(table.results)]
        for slot in slots:
            slot.tensor = None
        table.rows_held[row] = [*tensors, arena]
        for slot, tensor in zip(slots, tensors, strict=True):
            memory = tensor.storage.memory
            slot.aval, slot.buffer, slot.memory = id(tensor.aval), id(tensor.storage), id(memory)
            slot.address = memory.address
        table.arenas_view[row] = Arena() if arena is None else Arena(arena.address, id(arena))
        for slot, tensor in zip(slots, tensors, strict=True):
            slot.tensor = id(tensor)
    finally:
        table.refilling.release()
