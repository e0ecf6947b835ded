"""From a compiled function to its native entry: whether it can have one, and the table it works with."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from typing import Any

from phalanx.compiler import config
from phalanx.compiler.context import context
from phalanx.compiler.entry.form import Form
from phalanx.compiler.entry.table import (
    ALONE,
    ARRAY,
    BOOL,
    CAPTURED,
    FLOAT32,
    INT32,
    TENSOR,
    TUPLE,
    Record,
    Row,
    Table,
)
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace import state, tree
from phalanx.dialects import dtypes
from phalanx.dialects.aval import Aval
from phalanx.dialects.dtypes import DType
from phalanx.runtime import epoch, threads
from phalanx.runtime.allocator import HOST, Memory
from phalanx.runtime.backends import Backend
from phalanx.runtime.buffer import Buffer
from phalanx.runtime.executable import Executable

_MOST_INPUTS = 1024  # each takes some words of the stack
# A row of results and scratch memory that stays with the entry must be small; larger ones are made for each call.
_LARGEST_ROW = 1 << 20
_ROWS = 4
# Of these fewer are kept: enough for a result that is the next call's argument.
_LARGE_ROW, _FEW_ROWS = 128 << 10, 2
# So small that many rows can be made at once, for callers that keep all results.
_SMALL_ROW, _MANY_ROWS = 4 << 10, 16
# Work (elements computed) for which giving up the GIL would cost more than it gives to other threads.
_SHORT_WORK = 1 << 15
_SHORT_PROGRAM = 64

_NUMBERS: dict[DType, int] = {dtypes.float32: FLOAT32, dtypes.int32: INT32, dtypes.bool_: BOOL}


def native_entry(traced: Any, executable: Executable, backend: Backend, *, count: int | None = None,
                 weak: Sequence[bool] | None = None, fallback: Callable[..., Any] | None = None,
                 form: Form | None = None, avals: Sequence[Aval] = (), sizes: Sequence[int] = ()) -> Any:
    """A built-in function that runs `executable` on tensors and NumPy arrays as traced; None when there can be none.

    It holds for the options in force now, with `count` threads if given. `weak` says which arguments are Python numbers
    (None: all may be, and all may be arrays). Calls that do not fit go to `fallback`, without one they give
    NotImplemented. `form` says how the leaves are passed (None: by position), `avals` what they and the results are
    where some `sizes` have names.
    """
    from phalanx.compiler.entry.code import maker  # measures the interpreter, at the first entry

    make = maker() if _is_suitable(traced, executable, backend, sizes) else None
    if make is None:
        return None
    table = Table()
    inputs = avals[:len(traced.inputs)] or traced.inputs
    outputs = avals[len(traced.inputs):] or traced.outputs
    records = [_record(table, aval, _accepted(aval, None if weak is None else weak[i]))
               for i, aval in enumerate(inputs)]
    for number in executable.donated:
        records[number].accepts = TENSOR
        records[number].gone = table.keep(executable.donation_of(number))
    for number, tensor in enumerate(traced.hidden, len(traced.inputs)):
        record = _record(table, tensor.aval, CAPTURED)
        record.captured = table.keep(executable.passed(number, tensor.storage))
        records.append(record)
    table.set_records(records, len(traced.inputs))
    _set_rows(table, executable, outputs, backend, sizes)
    _set_aliases(table, executable)
    table.backend, table.device = table.keep(backend), table.keep(HOST.device)
    table.kernel = executable.entry_address
    table.keep(executable)
    _set_conditions(table, executable, count)
    table.releases = not _is_short(traced)
    table.result = _result(table, traced)
    if sizes:
        values = (ctypes.c_int64 * len(sizes))(*sizes)
        table.keep(values)
        table.sizes = ctypes.addressof(values)
    if form is not None:
        laid_out, kept = form.laid_out()
        table.kept += kept
        table.form = ctypes.addressof(laid_out)
    if fallback is not None:
        table.fallback = table.keep(fallback)
    return make(table)


def _is_suitable(traced: Any, executable: Executable, backend: Backend, sizes: Sequence[int]) -> bool:
    if backend.name != "cpu" or executable.sites or not traced.outputs or executable.allocator is not HOST:
        return False
    if len(sizes) != len(executable.signature.dims):
        return False
    if len(traced.inputs) + len(traced.hidden) > _MOST_INPUTS:
        return False
    return all(tensor.backend is backend and type(tensor.storage) is Buffer for tensor in traced.hidden)


def _sizes(aval: Aval) -> tuple[int, ...]:
    """The shape of an aval without named sizes."""
    return tuple(size for size in aval.shape if isinstance(size, int))


def _bytes(aval: Aval) -> int:
    return math.prod(_sizes(aval)) * aval.dtype.itemsize


def _accepted(aval: Aval, weak: bool | None) -> int:
    """How this argument may come. Truth values of NumPy may be any byte in memory, so those are checked in Python."""
    arrays = TENSOR | (0 if aval.dtype.is_bool else ARRAY)
    number = 0 if aval.shape else _NUMBERS.get(aval.dtype, 0)
    if weak is None:
        return arrays | number
    return number if weak else arrays


def _record(table: Table, aval: Aval, accepts: int) -> Record:
    sizes = (ctypes.c_int64 * len(aval.shape))(*_sizes(aval))
    table.keep(sizes)
    return Record(accepts, table.keep(aval), table.keep(aval.dtype), table.keep(aval.shape),
                  table.keep(aval.dtype.numpy), len(aval.shape), ctypes.addressof(sizes), None)


def _set_rows(table: Table, executable: Executable, outputs: Sequence[Aval], backend: Backend,
              sizes: Sequence[int]) -> None:
    """Where results and the scratch memory that is used with them come from."""
    arena = executable.arena_bytes(sizes)
    total = arena + sum(map(_bytes, outputs))
    # What takes the memory of an argument needs none of its own.
    kinds = [(0 if number in executable.aliases else _bytes(aval), aval, _sizes(aval))
             for number, aval in enumerate(outputs)]

    def made(memory: Memory, aval: Aval, sizes: tuple[int, ...]) -> Tensor:
        return Tensor(Buffer(memory, aval.dtype, sizes, HOST.device), aval, backend)

    def make_rows(count: int) -> list[Row]:
        if count == 1:
            return [([made(HOST.allocate(nbytes), aval, sizes) for nbytes, aval, sizes in kinds],
                     HOST.allocate(arena) if arena else None)]
        columns = [[made(memory, aval, sizes) for memory in HOST.allocate_many(nbytes, count)]
                   for nbytes, aval, sizes in kinds]
        arenas = HOST.allocate_many(arena, count) if arena else [None] * count
        return [(list(tensors), scratch) for *tensors, scratch in zip(*columns, arenas, strict=True)]

    small, moves = total <= _SMALL_ROW, total > _LARGEST_ROW
    rows = 1 if moves else _MANY_ROWS if small else _FEW_ROWS if total > _LARGE_ROW else _ROWS
    table.set_rows(rows, len(outputs), make_rows, together=small, moves=moves, taking=frozenset(executable.aliases))


def _set_aliases(table: Table, executable: Executable) -> None:
    """Which results take the memory of which arguments."""
    if executable.donated:
        aliases = (ctypes.c_int64 * table.results)(*(executable.aliases.get(r, -1) for r in range(table.results)))
        table.keep(aliases)
        table.aliases = ctypes.addressof(aliases)


def _set_conditions(table: Table, executable: Executable, count: int | None) -> None:
    """What must be as it is now for the table to be right."""
    overrides, _ = config.version()
    conditions: list[tuple[Any, Any]] = [(config.overrides_variable(), overrides), (state.variable(), None)]
    library = threads.openmp_library() if executable.parallel else None
    if library is not None:
        limit = threads.limit_variable()
        conditions.append((limit, limit.get()))
        table.threads = executable.threads or count or threads.get_threads()
        table.threads_now = ctypes.cast(library.omp_get_max_threads, ctypes.c_void_p).value
        table.set_threads = ctypes.cast(library.omp_set_num_threads, ctypes.c_void_p).value
    for position, (variable, expected) in enumerate(conditions):
        table.variables[position] = table.keep(variable)
        table.expected[position] = table.keep(expected)
    table.epoch_now, table.epoch = epoch.ADDRESS, epoch.now()


def _is_short(traced: Any) -> bool:
    """Whether the function surely takes few microseconds: few operations, no loops, small results of all of them."""
    if traced.op_count > _SHORT_PROGRAM:
        return False
    work = 0.0
    with context():
        for operation in traced.module.body.operations[0].regions[0].blocks[0].operations:
            if len(operation.regions):  # loops, branches
                return False
            work += _work(operation)
    return work <= _SHORT_WORK


def _work(operation: Any) -> float:
    """About how many elements an operation computes or reads; infinite when sizes are named."""
    operands, results = ([math.prod(getattr(value.type, "shape", ())) for value in values]  # an index has no shape
                         for values in (operation.operands, operation.results))
    if min([*operands, *results], default=0) < 0:
        return math.inf
    if operation.operation.name == "px.dot_general":
        return math.sqrt(math.prod(operands) * math.prod(results))  # rows x columns x length of the sums
    return float(max([*operands, *results], default=0))


def _result(table: Table, traced: Any) -> int:
    if traced.out_tree.is_leaf():
        return ALONE
    count = len(traced.outputs)
    if traced.out_tree == tree.flatten(tuple(range(count)))[1]:
        return TUPLE
    structure = traced.out_tree
    return table.keep(lambda *tensors: tree.unflatten(structure, tensors))
