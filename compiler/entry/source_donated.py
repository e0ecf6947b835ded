"""LLVM IR of the native entry: arguments whose memory a call takes. Names in braces are filled in by `source.py`."""

# Memory that becomes a result must be passed once and be looked at by nobody else. Given away, it leaves the buffer it came
# in and enters that of the result; the caller of these holds it.
DONATED = """
define internal i1 @is_only_here(ptr %keepers, i64 %inputs, i64 %which) {
entry:
  %memory.at = getelementptr ptr, ptr %keepers, i64 %which
  %memory = load ptr, ptr %memory.at
  %shared.at = getelementptr i8, ptr %memory, i64 {memory_shared}
  %shared = load ptr, ptr %shared.at
  %own = icmp eq ptr %shared, @px_false
  br i1 %own, label %next, label %no
next:
  %i = phi i64 [0, %entry], [%i.more, %other]
  %left = icmp ult i64 %i, %inputs
  br i1 %left, label %compare, label %yes
compare:
  %at = getelementptr ptr, ptr %keepers, i64 %i
  %found = load ptr, ptr %at
  %same = icmp eq ptr %found, %memory
  %itself = icmp eq i64 %i, %which
  %expected = icmp eq i1 %same, %itself
  br i1 %expected, label %other, label %no
other:
  %i.more = add i64 %i, 1
  br label %next
yes:
  ret i1 true
no:
  ret i1 false
}

define internal i1 @may_give(ptr %table, ptr %keepers, i64 %inputs, i64 %results) {
entry:
  %aliases.at = getelementptr i8, ptr %table, i64 {Table.aliases}
  %aliases = load ptr, ptr %aliases.at
  br label %next
next:
  %r = phi i64 [0, %entry], [%r.more, %good]
  %left = icmp ult i64 %r, %results
  br i1 %left, label %look, label %yes
look:
  %at = getelementptr i64, ptr %aliases, i64 %r
  %which = load i64, ptr %at
  %new = icmp slt i64 %which, 0
  br i1 %new, label %good, label %check
check:
  %only = call i1 @is_only_here(ptr %keepers, i64 %inputs, i64 %which)
  br i1 %only, label %good, label %no
good:
  %r.more = add i64 %r, 1
  br label %next
yes:
  ret i1 true
no:
  ret i1 false
}

define internal void @give_away(ptr %table, ptr %arguments, ptr %keepers, ptr %pointers, ptr %tensors, i64 %inputs,
                                i64 %results) {
entry:
  %records.at = getelementptr i8, ptr %table, i64 {Table.records}
  %records = load ptr, ptr %records.at
  %count.at = getelementptr i8, ptr %table, i64 {Table.arguments}
  %count = load i64, ptr %count.at
  %aliases.at = getelementptr i8, ptr %table, i64 {Table.aliases}
  %aliases = load ptr, ptr %aliases.at
  br label %argument
argument:
  %i = phi i64 [0, %entry], [%i.more, %argument.done]
  %i.left = icmp ult i64 %i, %count
  br i1 %i.left, label %argument.look, label %result
argument.look:
  %record = getelementptr [{Record.size} x i8], ptr %records, i64 %i
  %gone.at = getelementptr i8, ptr %record, i64 {Record.gone}
  %gone = load ptr, ptr %gone.at
  %kept = icmp eq ptr %gone, null
  br i1 %kept, label %argument.done, label %argument.leave
argument.leave:
  %tensor.at = getelementptr ptr, ptr %arguments, i64 %i
  %tensor = load ptr, ptr %tensor.at
  %storage.at = getelementptr i8, ptr %tensor, i64 {tensor_storage}
  %buffer = load ptr, ptr %storage.at
  %why.at = getelementptr i8, ptr %buffer, i64 {buffer_gone}
  call void @put(ptr %why.at, ptr %gone)
  %memory.at = getelementptr i8, ptr %buffer, i64 {buffer_memory}
  call void @put(ptr %memory.at, ptr @px_none)
  br label %argument.done
argument.done:
  %i.more = add i64 %i, 1
  br label %argument
result:
  %r = phi i64 [0, %argument], [%r.more, %result.done]
  %r.left = icmp ult i64 %r, %results
  br i1 %r.left, label %result.look, label %done
result.look:
  %alias.at = getelementptr i64, ptr %aliases, i64 %r
  %alias = load i64, ptr %alias.at
  %new = icmp slt i64 %alias, 0
  br i1 %new, label %result.done, label %result.take
result.take:
  %made.at = getelementptr ptr, ptr %tensors, i64 %r
  %made = load ptr, ptr %made.at
  %made.storage.at = getelementptr i8, ptr %made, i64 {tensor_storage}
  %target = load ptr, ptr %made.storage.at
  %taken.at = getelementptr ptr, ptr %keepers, i64 %alias
  %taken = load ptr, ptr %taken.at
  %target.why = getelementptr i8, ptr %target, i64 {buffer_gone}
  call void @put(ptr %target.why, ptr @px_empty_text)
  %target.memory = getelementptr i8, ptr %target, i64 {buffer_memory}
  call void @put(ptr %target.memory, ptr %taken)
  %from = getelementptr ptr, ptr %pointers, i64 %alias
  %address = load ptr, ptr %from
  %to.index = add i64 %inputs, %r
  %to = getelementptr ptr, ptr %pointers, i64 %to.index
  store ptr %address, ptr %to
  br label %result.done
result.done:
  %r.more = add i64 %r, 1
  br label %result
done:
  ret void
}
"""
