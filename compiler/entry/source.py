"""LLVM IR of the native entry: the call itself, and all parts put together.

It compares the arguments with its `Table`, takes a row of results nobody holds any more, runs the kernel and returns.
It never raises by itself: whatever is not as expected goes to the table's fallback, which is Python.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

from phalanx.compiler.entry import layout
from phalanx.compiler.entry.form import DICT, LEAF, LIST, NONE, FormTable, Node
from phalanx.compiler.entry.form import TUPLE as NODE_TUPLE
from phalanx.compiler.entry.source_donated import DONATED
from phalanx.compiler.entry.source_form import FORM
from phalanx.compiler.entry.source_inputs import ADDRESS
from phalanx.compiler.entry.source_rows import FREE_ROW, IN_FORCE
from phalanx.compiler.entry.table import (
    ALONE,
    ARRAY,
    BOOL,
    CAPTURED,
    FLOAT32,
    INT32,
    TENSOR,
    TUPLE,
    VARIABLES,
    Arena,
    Record,
    Slot,
    Table,
)

SYMBOL = "px_fast_call"

_FUNCTIONS = """
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare void @PyErr_Clear()
declare i32 @PyContextVar_Get(ptr, ptr, ptr)
declare i32 @PyObject_RichCompareBool(ptr, ptr, i32)
declare ptr @PyObject_CallFunctionObjArgs(ptr, ...)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare ptr @PyLong_AsVoidPtr(ptr)
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare double @PyFloat_AsDouble(ptr)
declare ptr @PyTuple_New(i64)
declare i64 @PyTuple_Size(ptr)
declare ptr @PyTuple_GetItem(ptr, i64)
declare i64 @PyList_Size(ptr)
declare ptr @PyList_GetItem(ptr, i64)
declare i64 @PyDict_Size(ptr)
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare double @llvm.fabs.f64(double)
"""

# Everything around the kernel: threads announced and put back, memory held, the GIL given up for long work.
_LAUNCH = """
define internal i32 @run(ptr %table, ptr %pointers, ptr %arena) {
entry:
  %kernel.at = getelementptr i8, ptr %table, i64 {Table.kernel}
  %kernel = load ptr, ptr %kernel.at
  %sizes.at = getelementptr i8, ptr %table, i64 {Table.sizes}
  %sizes = load ptr, ptr %sizes.at
  %threads.at = getelementptr i8, ptr %table, i64 {Table.threads}
  %threads = load i64, ptr %threads.at
  %parallel = icmp ne i64 %threads, 0
  br i1 %parallel, label %on.threads, label %alone
alone:
  %status.alone = call i32 %kernel(ptr %pointers, ptr %sizes, ptr %arena)
  ret i32 %status.alone
on.threads:
  %now.at = getelementptr i8, ptr %table, i64 {Table.threads_now}
  %now = load ptr, ptr %now.at
  %set.at = getelementptr i8, ptr %table, i64 {Table.set_threads}
  %set = load ptr, ptr %set.at
  %before = call i32 %now()
  %count = trunc i64 %threads to i32
  call void %set(i32 %count)
  %status = call i32 %kernel(ptr %pointers, ptr %sizes, ptr %arena)
  call void %set(i32 %before)
  ret i32 %status
}

define internal void @put(ptr %slot, ptr %value) {
entry:
  call void @Py_IncRef(ptr %value)
  %before = load ptr, ptr %slot
  store ptr %value, ptr %slot
  call void @Py_DecRef(ptr %before)
  ret void
}

define internal void @count_all(ptr %objects, i64 %count, i1 %up) {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%following, %next]
  %left = icmp ult i64 %i, %count
  br i1 %left, label %one, label %done
one:
  %at = getelementptr ptr, ptr %objects, i64 %i
  %object = load ptr, ptr %at
  br i1 %up, label %more, label %less
more:
  call void @Py_IncRef(ptr %object)
  br label %next
less:
  call void @Py_DecRef(ptr %object)
  br label %next
next:
  %following = add i64 %i, 1
  br label %loop
done:
  ret void
}

define internal i32 @launch(ptr %table, ptr %pointers, ptr %arena, ptr %keepers, i64 %held) {
entry:
  %releases.at = getelementptr i8, ptr %table, i64 {Table.releases}
  %releases = load i64, ptr %releases.at
  %long = icmp ne i64 %releases, 0
  br i1 %long, label %release, label %keep
keep:
  %status.kept = call i32 @run(ptr %table, ptr %pointers, ptr %arena)
  ret i32 %status.kept
release:
  call void @count_all(ptr %keepers, i64 %held, i1 true)
  %thread = call ptr @PyEval_SaveThread()
  %status = call i32 @run(ptr %table, ptr %pointers, ptr %arena)
  call void @PyEval_RestoreThread(ptr %thread)
  call void @count_all(ptr %keepers, i64 %held, i1 false)
  ret i32 %status
}
"""

_RESULTS = """
define internal ptr @give(ptr %table, ptr %tensors, i64 %results) {
entry:
  %how.at = getelementptr i8, ptr %table, i64 {Table.result}
  %how = load i64, ptr %how.at
  switch i64 %how, label %build [
    i64 {ALONE}, label %alone
    i64 {TUPLE}, label %tuple
  ]
alone:
  %only = load ptr, ptr %tensors
  ret ptr %only
build:
  %builder = inttoptr i64 %how to ptr
  %built = call ptr @PyObject_Vectorcall(ptr %builder, ptr %tensors, i64 %results, ptr null)
  call void @count_all(ptr %tensors, i64 %results, i1 false)
  ret ptr %built
tuple:
  %made = call ptr @PyTuple_New(i64 %results)
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %drop, label %item
drop:
  call void @count_all(ptr %tensors, i64 %results, i1 false)
  ret ptr null
item:
  %i = phi i64 [0, %tuple], [%following, %item]
  %at = getelementptr ptr, ptr %tensors, i64 %i
  %tensor = load ptr, ptr %at
  %taken = call i32 @PyTuple_SetItem(ptr %made, i64 %i, ptr %tensor)
  %following = add i64 %i, 1
  %left = icmp ult i64 %following, %results
  br i1 %left, label %item, label %filled
filled:
  ret ptr %made
}
"""

_CALL = """
define internal void @let_go(ptr %holder) {
entry:
  %held = load ptr, ptr %holder
  %nothing = icmp eq ptr %held, null
  br i1 %nothing, label %done, label %drop
drop:
  call void @Py_DecRef(ptr %held)
  br label %done
done:
  ret void
}

; The result for these leaves; NotImplemented, not counted, when they do not fit.
define internal ptr @attempt(ptr %table, ptr %arguments, i64 %count) {
entry:
  %holder = alloca ptr
  store ptr null, ptr %holder
  %aliases.at = getelementptr i8, ptr %table, i64 {Table.aliases}
  %aliases = load ptr, ptr %aliases.at
  %takes = icmp ne ptr %aliases, null
  %valid = call i1 @in_force(ptr %table)
  br i1 %valid, label %row, label %other
row:
  %row.number = call i64 @take_row(ptr %table, ptr %holder)
  %found = icmp sge i64 %row.number, 0
  br i1 %found, label %take, label %none.free
none.free:
  call void @let_go(ptr %holder)
  br label %other
take:
  %moves.at = getelementptr i8, ptr %table, i64 {Table.moves}
  %moves = load i64, ptr %moves.at
  %stays = icmp eq i64 %moves, 0
  %inputs.at = getelementptr i8, ptr %table, i64 {Table.inputs}
  %inputs = load i64, ptr %inputs.at
  %results.at = getelementptr i8, ptr %table, i64 {Table.results}
  %results = load i64, ptr %results.at
  %total = add i64 %inputs, %results
  %pointers = alloca ptr, i64 %total
  %tensors = alloca ptr, i64 %results
  %room = alloca i64, i64 %inputs
  %held = add i64 %inputs, 1
  %keepers = alloca ptr, i64 %held
  %slots.at = getelementptr i8, ptr %table, i64 {Table.slots}
  %slots = load ptr, ptr %slots.at
  %base = mul i64 %row.number, %results
  br label %result
result:
  %r = phi i64 [0, %take], [%r.more, %result]
  %slot.index = add i64 %base, %r
  %slot = getelementptr [{Slot.size} x i8], ptr %slots, i64 %slot.index
  %tensor.at = getelementptr i8, ptr %slot, i64 {Slot.tensor}
  %tensor = load ptr, ptr %tensor.at
  call void @Py_IncRef(ptr %tensor)
  %left.in.row = select i1 %stays, ptr %tensor, ptr null
  store ptr %left.in.row, ptr %tensor.at
  %tensor.to = getelementptr ptr, ptr %tensors, i64 %r
  store ptr %tensor, ptr %tensor.to
  %address.at = getelementptr i8, ptr %slot, i64 {Slot.address}
  %result.address = load ptr, ptr %address.at
  %pointer.index = add i64 %inputs, %r
  %result.to = getelementptr ptr, ptr %pointers, i64 %pointer.index
  store ptr %result.address, ptr %result.to
  %r.more = add i64 %r, 1
  %r.left = icmp ult i64 %r.more, %results
  br i1 %r.left, label %result, label %inputs.begin
inputs.begin:
  %records.at = getelementptr i8, ptr %table, i64 {Table.records}
  %records = load ptr, ptr %records.at
  br label %input
input:
  %i = phi i64 [0, %inputs.begin], [%i.more, %input.fits]
  %i.left = icmp ult i64 %i, %inputs
  br i1 %i.left, label %input.read, label %go
input.read:
  %record = getelementptr [{Record.size} x i8], ptr %records, i64 %i
  %keeper = getelementptr ptr, ptr %keepers, i64 %i
  store ptr null, ptr %keeper
  %passed = icmp ult i64 %i, %count
  br i1 %passed, label %from.caller, label %from.closure
from.caller:
  %object.at = getelementptr ptr, ptr %arguments, i64 %i
  %object = load ptr, ptr %object.at
  %room.at = getelementptr i64, ptr %room, i64 %i
  %caller.address = call ptr @input_address(ptr %table, ptr %record, ptr %object, ptr %room.at, ptr %keeper)
  br label %input.check
from.closure:
  %captured.at = getelementptr i8, ptr %record, i64 {Record.captured}
  %captured = load ptr, ptr %captured.at
  %closure.address = call ptr @buffer_address(ptr %table, ptr %captured, ptr %keeper)
  br label %input.check
input.check:
  %address = phi ptr [%caller.address, %from.caller], [%closure.address, %from.closure]
  %input.to = getelementptr ptr, ptr %pointers, i64 %i
  store ptr %address, ptr %input.to
  %fits = icmp ne ptr %address, null
  br i1 %fits, label %input.fits, label %drop
input.fits:
  %i.more = add i64 %i, 1
  br label %input
go:
  br i1 %takes, label %ask, label %ready
ask:
  %may = call i1 @may_give(ptr %table, ptr %keepers, i64 %inputs, i64 %results)
  br i1 %may, label %give.away, label %drop
give.away:
  call void @count_all(ptr %keepers, i64 %inputs, i1 true)
  call void @give_away(ptr %table, ptr %arguments, ptr %keepers, ptr %pointers, ptr %tensors, i64 %inputs, i64 %results)
  br label %ready
ready:
  %arenas.at = getelementptr i8, ptr %table, i64 {Table.arenas}
  %arenas = load ptr, ptr %arenas.at
  %arena.at = getelementptr [{Arena.size} x i8], ptr %arenas, i64 %row.number
  %arena.address.at = getelementptr i8, ptr %arena.at, i64 {Arena.address}
  %arena = load ptr, ptr %arena.address.at
  %arena.memory.at = getelementptr i8, ptr %arena.at, i64 {Arena.memory}
  %arena.memory = load ptr, ptr %arena.memory.at
  %arena.keeper = getelementptr ptr, ptr %keepers, i64 %inputs
  store ptr %arena.memory, ptr %arena.keeper
  %status = call i32 @launch(ptr %table, ptr %pointers, ptr %arena, ptr %keepers, i64 %held)
  br i1 %takes, label %let.go, label %ended
let.go:
  call void @count_all(ptr %keepers, i64 %inputs, i1 false)
  br label %ended
ended:
  %good = icmp eq i32 %status, 0
  br i1 %good, label %finish, label %drop
finish:
  call void @let_go(ptr %holder)
  %given = call ptr @give(ptr %table, ptr %tensors, i64 %results)
  ret ptr %given
drop:
  call void @count_all(ptr %tensors, i64 %results, i1 false)
  call void @let_go(ptr %holder)
  br label %other
other:
  ret ptr @px_not_implemented
}

define ptr @{SYMBOL}(ptr %self, ptr %arguments, i64 %count, ptr %keywords) {
entry:
  %table.at = getelementptr i8, ptr %self, i64 {FOREIGN_ADDRESS}
  %table = load ptr, ptr %table.at
  %wanted.at = getelementptr i8, ptr %table, i64 {Table.arguments}
  %wanted = load i64, ptr %wanted.at
  %form.at = getelementptr i8, ptr %table, i64 {Table.form}
  %form = load ptr, ptr %form.at
  %flat = icmp eq ptr %form, null
  br i1 %flat, label %direct, label %structured
direct:
  %same.count = icmp eq i64 %count, %wanted
  %no.keywords = icmp eq ptr %keywords, null
  %plain = and i1 %same.count, %no.keywords
  br i1 %plain, label %call.direct, label %other
call.direct:
  %of.arguments = call ptr @attempt(ptr %table, ptr %arguments, i64 %count)
  br label %tried
structured:
  %cursor = alloca ptr
  %leaves = alloca ptr, i64 %wanted
  store ptr %leaves, ptr %cursor
  %collected = call i1 @collect(ptr %form, ptr %arguments, i64 %count, ptr %keywords, ptr %cursor)
  br i1 %collected, label %call.leaves, label %let.go
call.leaves:
  %of.leaves = call ptr @attempt(ptr %table, ptr %leaves, i64 %wanted)
  br label %let.go
let.go:
  %outcome = phi ptr [@px_not_implemented, %structured], [%of.leaves, %call.leaves]
  %last = load ptr, ptr %cursor
  %last.number = ptrtoint ptr %last to i64
  %first.number = ptrtoint ptr %leaves to i64
  %bytes = sub i64 %last.number, %first.number
  %taken = lshr i64 %bytes, 3
  call void @count_all(ptr %leaves, i64 %taken, i1 false)
  br label %tried
tried:
  %result = phi ptr [%of.arguments, %call.direct], [%outcome, %let.go]
  %unfit = icmp eq ptr %result, @px_not_implemented
  br i1 %unfit, label %other, label %fits
fits:
  ret ptr %result
other:
  %fallback.at = getelementptr i8, ptr %table, i64 {Table.fallback}
  %fallback = load ptr, ptr %fallback.at
  %none = icmp eq ptr %fallback, null
  br i1 %none, label %refuse, label %general
refuse:
  call void @Py_IncRef(ptr @px_not_implemented)
  ret ptr @px_not_implemented
general:
  %answer = call ptr @PyObject_Vectorcall(ptr %fallback, ptr %arguments, i64 %count, ptr %keywords)
  ret ptr %answer
}
"""


def text(slots: layout.Slots, objects: Iterable[str]) -> str:
    """The code as LLVM IR, for these offsets; `objects` are the names of the Python objects it compares with."""
    numbers: dict[str, int | str] = {
        "SYMBOL": SYMBOL, "ALONE": ALONE, "TUPLE": TUPLE, "VARIABLES": VARIABLES, "TENSOR": TENSOR, "ARRAY": ARRAY,
        "LEAF": LEAF, "NONE": NONE, "NODE_TUPLE": NODE_TUPLE, "LIST": LIST, "DICT": DICT,
        "FLOAT32": FLOAT32, "INT32": INT32, "BOOL": BOOL, "CAPTURED": CAPTURED,
        **{name: getattr(layout, name) for name in (
            "ARRAY_DATA", "ARRAY_RANK", "ARRAY_SIZES", "ARRAY_DTYPE", "ARRAY_FLAGS", "ARRAY_DENSE", "FOREIGN_ADDRESS")},
        **vars(slots),
    }
    for structure in (Table, Record, Slot, Arena, FormTable, Node):
        numbers[f"{structure.__name__}.size"] = ctypes.sizeof(structure)
        numbers |= {f"{structure.__name__}.{name}": getattr(structure, name).offset
                    for name, *_ in structure._fields_}
    globals_ = "\n".join(f"@{name} = external global i8" for name in objects)
    body = "".join((IN_FORCE, FREE_ROW, ADDRESS, FORM, DONATED, _LAUNCH, _RESULTS, _CALL))
    for name, value in numbers.items():
        body = body.replace(f"{{{name}}}", str(value))
    return f"{globals_}\n{_FUNCTIONS}{body}"
