"""LLVM IR of the native entry, second part: conditions of a call, and results nobody holds. Names in braces are filled in by
`source.py`."""

# Whether options, trace and limit of threads are those the table was made under.
IN_FORCE = """
define internal i1 @in_force(ptr %table) {
entry:
  %found = alloca ptr
  %cell.at = getelementptr i8, ptr %table, i64 {Table.epoch_now}
  %cell = load ptr, ptr %cell.at
  %now = load i64, ptr %cell
  %epoch.at = getelementptr i8, ptr %table, i64 {Table.epoch}
  %epoch = load i64, ptr %epoch.at
  %same = icmp eq i64 %now, %epoch
  %variables = getelementptr i8, ptr %table, i64 {Table.variables}
  %expected = getelementptr i8, ptr %table, i64 {Table.expected}
  br i1 %same, label %loop, label %no
loop:
  %i = phi i64 [0, %entry], [%following, %next]
  %variable.at = getelementptr ptr, ptr %variables, i64 %i
  %variable = load ptr, ptr %variable.at
  %unused = icmp eq ptr %variable, null
  br i1 %unused, label %next, label %ask
ask:
  store ptr null, ptr %found
  %failed = call i32 @PyContextVar_Get(ptr %variable, ptr null, ptr %found)
  %failed.bit = icmp ne i32 %failed, 0
  br i1 %failed.bit, label %error, label %compare
compare:
  %value = load ptr, ptr %found
  call void @Py_DecRef(ptr %value)
  %wanted.at = getelementptr ptr, ptr %expected, i64 %i
  %wanted = load ptr, ptr %wanted.at
  %equal = icmp eq ptr %value, %wanted
  br i1 %equal, label %next, label %no
next:
  %following = add i64 %i, 1
  %more = icmp ult i64 %following, {VARIABLES}
  br i1 %more, label %loop, label %yes
error:
  call void @PyErr_Clear()
  br label %no
yes:
  ret i1 true
no:
  ret i1 false
}
"""

# A row none of whose tensors, buffers and memories anybody else holds or watches; -1 when there is none. `take_row` leaves in
# `holder` what has to be let go of at the end of the call.
FREE_ROW = """
define internal i1 @is_alone(ptr %object, i64 %weak) {
  %count = load i32, ptr %object
  %one = icmp eq i32 %count, 1
  %weak.at = getelementptr i8, ptr %object, i64 %weak
  %watchers = load ptr, ptr %weak.at
  %unwatched = icmp eq ptr %watchers, null
  %alone = and i1 %one, %unwatched
  ret i1 %alone
}

define internal i1 @is_free(ptr %slot) {
entry:
  %tensor.at = getelementptr i8, ptr %slot, i64 {Slot.tensor}
  %tensor = load ptr, ptr %tensor.at
  %empty = icmp eq ptr %tensor, null
  br i1 %empty, label %no, label %check.tensor
check.tensor:
  %tensor.alone = call i1 @is_alone(ptr %tensor, i64 {tensor_weak})
  br i1 %tensor.alone, label %check.storage, label %no
check.storage:
  %storage.at = getelementptr i8, ptr %tensor, i64 {tensor_storage}
  %storage = load ptr, ptr %storage.at
  %buffer.at = getelementptr i8, ptr %slot, i64 {Slot.buffer}
  %buffer = load ptr, ptr %buffer.at
  %same.buffer = icmp eq ptr %storage, %buffer
  %aval.at = getelementptr i8, ptr %tensor, i64 {tensor_aval}
  %aval = load ptr, ptr %aval.at
  %own.at = getelementptr i8, ptr %slot, i64 {Slot.aval}
  %own = load ptr, ptr %own.at
  %same.aval = icmp eq ptr %aval, %own
  %unchanged = and i1 %same.buffer, %same.aval
  br i1 %unchanged, label %check.buffer, label %no
check.buffer:
  %buffer.alone = call i1 @is_alone(ptr %buffer, i64 {buffer_weak})
  %held.at = getelementptr i8, ptr %buffer, i64 {buffer_memory}
  %held = load ptr, ptr %held.at
  %memory.at = getelementptr i8, ptr %slot, i64 {Slot.memory}
  %memory = load ptr, ptr %memory.at
  %takes = icmp eq ptr %memory, null
  %same.memory = icmp eq ptr %held, %memory
  %usable.memory = or i1 %takes, %same.memory
  %whole = and i1 %buffer.alone, %usable.memory
  br i1 %whole, label %check.kind, label %no
check.kind:
  br i1 %takes, label %done, label %check.memory
check.memory:
  %memory.alone = call i1 @is_alone(ptr %memory, i64 {memory_weak})
  br i1 %memory.alone, label %yes, label %no
yes:
  %shared.at = getelementptr i8, ptr %memory, i64 {memory_shared}
  %shared = load ptr, ptr %shared.at
  %was.shared = icmp ne ptr %shared, @px_false
  br i1 %was.shared, label %reset, label %done
reset:
  call void @put(ptr %shared.at, ptr @px_false)
  br label %done
done:
  ret i1 true
no:
  ret i1 false
}

define internal i64 @free_row(ptr %table) {
entry:
  %rows.at = getelementptr i8, ptr %table, i64 {Table.rows}
  %rows = load i64, ptr %rows.at
  %results.at = getelementptr i8, ptr %table, i64 {Table.results}
  %results = load i64, ptr %results.at
  %next.at = getelementptr i8, ptr %table, i64 {Table.next_row}
  %first = load i64, ptr %next.at
  %slots.at = getelementptr i8, ptr %table, i64 {Table.slots}
  %slots = load ptr, ptr %slots.at
  br label %row
row:
  %row.number = phi i64 [%first, %entry], [%wrapped, %other]
  %tried = phi i64 [0, %entry], [%tried.more, %other]
  %base = mul i64 %row.number, %results
  br label %slot
slot:
  %position = phi i64 [0, %row], [%position.more, %slot.free]
  %index = add i64 %base, %position
  %at = getelementptr [{Slot.size} x i8], ptr %slots, i64 %index
  %free = call i1 @is_free(ptr %at)
  br i1 %free, label %slot.free, label %other
slot.free:
  %position.more = add i64 %position, 1
  %slots.left = icmp ult i64 %position.more, %results
  br i1 %slots.left, label %slot, label %found
other:
  %row.more = add i64 %row.number, 1
  %beyond = icmp uge i64 %row.more, %rows
  %wrapped = select i1 %beyond, i64 0, i64 %row.more
  %tried.more = add i64 %tried, 1
  %rows.left = icmp ult i64 %tried.more, %rows
  br i1 %rows.left, label %row, label %none
found:
  %after = add i64 %row.number, 1
  %after.beyond = icmp uge i64 %after, %rows
  %after.wrapped = select i1 %after.beyond, i64 0, i64 %after
  store i64 %after.wrapped, ptr %next.at
  ret i64 %row.number
none:
  ret i64 -1
}

define internal i64 @take_row(ptr %table, ptr %holder) {
entry:
  %first = call i64 @free_row(ptr %table)
  %found = icmp sge i64 %first, 0
  br i1 %found, label %done, label %refill
refill:
  %refill.at = getelementptr i8, ptr %table, i64 {Table.refill}
  %function = load ptr, ptr %refill.at
  %self.object.at = getelementptr i8, ptr %table, i64 {Table.own}
  %self.object = load ptr, ptr %self.object.at
  %made = call ptr (ptr, ...) @PyObject_CallFunctionObjArgs(ptr %function, ptr %self.object, ptr null)
  store ptr %made, ptr %holder
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %error, label %again
again:
  %second = call i64 @free_row(ptr %table)
  br label %done
error:
  call void @PyErr_Clear()
  br label %done
done:
  %row = phi i64 [%first, %entry], [%second, %again], [-1, %error]
  ret i64 %row
}
"""
