"""What the native entry knows of one signature, laid out for machine code to read.

One piece of code serves every function; it gets a `Table` as `self`. Offsets in `code.py` come from the structures here.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from struct import pack_into
from typing import Any

Row = tuple[list[Any], Any]
"""The tensors of one set of results, and the scratch memory that is used with them."""

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
        ("gone", Address),      # of an argument whose memory the call takes: what its buffer says from then on
    ]


class Slot(ctypes.Structure):
    """One result of one row: the tensor, and what must still be in it for its memory to be free.

    A result that takes the memory of an argument has neither memory nor address before the call.
    """

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
        ("sizes", Address),        # values of the named sizes
        ("form", Address),         # a `FormTable`; 0: the arguments are the leaves, all by position
        ("aliases", Address),      # for each result the argument whose memory it takes, or -1; 0: no memory is taken
        ("result", Address),
        ("moves", Count),          # whether results leave the table when they are handed out
        ("refill", Address),       # called with `own` when every row is in use
        ("own", Address),          # this object
        ("fallback", Address),     # called with the arguments when they do not fit; 0: NotImplemented is returned
    ]

    def __init__(self) -> None:
        super().__init__()
        #: whatever has its address in here
        self.kept: list[Any] = []
        #: the tensors of each row, and its scratch memory
        self.rows_held: list[Row] = []
        self.make_rows: Callable[[int], list[Row]] | None = None
        self.refilling = threading.Lock()
        self.own, self.refill = id(self), id(refill)

    def keep(self, value: Any) -> int:
        """The address of a Python object, which lives as long as this table."""
        self.kept.append(value)
        return id(value)

    def set_rows(self, rows: int, results: int, make_rows: Callable[[int], list[Row]], *, together: bool,
                 moves: bool, taking: frozenset[int]) -> None:
        """Room for `rows` sets of results; `make_rows` gives so many of them, each with the memory for what is in between.

        From the second time on all rows are made `together`. What `moves` is not kept for another call. Results in
        `taking` get their memory from an argument.
        """
        self.room = (Slot * (rows * results))(), (Arena * rows)()
        self.rows, self.results, self.make_rows, self.moves = rows, results, make_rows, int(moves)
        self.together, self.taking = together, taking
        self.slots, self.arenas = (ctypes.addressof(part) for part in self.room)

    def set_records(self, records: Sequence[Record], arguments: int) -> None:
        """What the inputs must be; the first `arguments` of them are passed by the caller."""
        laid_out = (Record * len(records))(*records)
        self.kept.append(laid_out)
        self.records, self.inputs, self.arguments = ctypes.addressof(laid_out), len(records), arguments


def refill(table: Table) -> list[Row] | None:
    """Put new tensors into the row that was handed out longest ago, or into all; the old ones are the caller's by now.

    Other threads may look at the table between any two lines of this: the tensors of a row are free once nobody but the
    row holds them, so not before the end. While another thread is here already, nothing happens, and the call goes through
    Python. Rows that move are returned, for the code to let go of at the end of the call.
    """
    if not table.refilling.acquire(blocking=False):
        return None
    try:
        assert table.make_rows is not None
        first, count = (0, table.rows) if table.together and table.rows_held else (table.next_row, 1)
        made = table.make_rows(count)
        slots: list[int] = []
        arenas: list[int] = []
        for tensors, arena in made:
            for number, tensor in enumerate(tensors):
                memory = tensor.storage.memory
                own = (0, 0) if number in table.taking else (id(memory), memory.address)
                slots += (id(tensor), id(tensor.aval), id(tensor.storage), *own)
            arenas += (0, 0) if arena is None else (arena.address, id(arena))
        # Each is written by one call, which no other thread sees half done.
        pack_into(f"{len(slots)}Q", table.room[0], first * table.results * ctypes.sizeof(Slot), *slots)
        pack_into(f"{len(arenas)}Q", table.room[1], first * ctypes.sizeof(Arena), *arenas)
        if table.moves:
            return made
        held = table.rows_held or [([], None)] * table.rows
        table.rows_held = [*held[:first], *made, *held[first + count:]]
        return None
    finally:
        table.refilling.release()
