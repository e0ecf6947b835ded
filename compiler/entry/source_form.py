"""LLVM IR of the native entry: from the arguments of a call to its leaves. Names in braces are filled in by `source.py`."""

# `walk` stores the leaves below an object behind the cursor, each held once, and gives the node that follows; null when the
# object does not look as the nodes say. `collect` does so for a whole call.
FORM = """
define internal i1 @is_same_value(ptr %node, ptr %object) {
entry:
  %value.at = getelementptr i8, ptr %node, i64 {Node.object}
  %value = load ptr, ptr %value.at
  %identical = icmp eq ptr %value, %object
  br i1 %identical, label %yes, label %alike
alike:
  %comparable.at = getelementptr i8, ptr %node, i64 {Node.count}
  %comparable = load i64, ptr %comparable.at
  %may = icmp ne i64 %comparable, 0
  %type.at = getelementptr i8, ptr %object, i64 8
  %type = load ptr, ptr %type.at
  %value.type.at = getelementptr i8, ptr %value, i64 8
  %value.type = load ptr, ptr %value.type.at
  %same.type = icmp eq ptr %type, %value.type
  %ask = and i1 %may, %same.type
  br i1 %ask, label %compare, label %no
compare:
  %answer = call i32 @PyObject_RichCompareBool(ptr %object, ptr %value, i32 2)
  %equal = icmp eq i32 %answer, 1
  ret i1 %equal
yes:
  ret i1 true
no:
  ret i1 false
}

define internal ptr @walk(ptr %node, ptr %object, ptr %cursor) {
entry:
  %kind = load i64, ptr %node
  %count.at = getelementptr i8, ptr %node, i64 {Node.count}
  %count = load i64, ptr %count.at
  %keys.at = getelementptr i8, ptr %node, i64 {Node.object}
  %keys = load ptr, ptr %keys.at
  %behind = getelementptr i8, ptr %node, i64 {Node.size}
  %type.at = getelementptr i8, ptr %object, i64 8
  %type = load ptr, ptr %type.at
  switch i64 %kind, label %static [
    i64 {LEAF}, label %leaf
    i64 {NONE}, label %none
    i64 {NODE_TUPLE}, label %tuple
    i64 {LIST}, label %list
    i64 {DICT}, label %dict
  ]
leaf:
  %at = load ptr, ptr %cursor
  call void @Py_IncRef(ptr %object)
  store ptr %object, ptr %at
  %after = getelementptr ptr, ptr %at, i64 1
  store ptr %after, ptr %cursor
  ret ptr %behind
none:
  %is.none = icmp eq ptr %object, @px_none
  br i1 %is.none, label %whole, label %no
static:
  %same.value = call i1 @is_same_value(ptr %node, ptr %object)
  br i1 %same.value, label %whole, label %no
tuple:
  %is.tuple = icmp eq ptr %type, @px_tuple_type
  br i1 %is.tuple, label %tuple.size, label %no
tuple.size:
  %items = call i64 @PyTuple_Size(ptr %object)
  br label %sized
list:
  %is.list = icmp eq ptr %type, @px_list_type
  br i1 %is.list, label %list.size, label %no
list.size:
  %elements = call i64 @PyList_Size(ptr %object)
  br label %sized
dict:
  %is.dict = icmp eq ptr %type, @px_dict_type
  br i1 %is.dict, label %dict.size, label %no
dict.size:
  %entries = call i64 @PyDict_Size(ptr %object)
  br label %sized
sized:
  %size = phi i64 [%items, %tuple.size], [%elements, %list.size], [%entries, %dict.size]
  %same.size = icmp eq i64 %size, %count
  br i1 %same.size, label %child, label %no
child:
  %i = phi i64 [0, %sized], [%i.more, %child.done]
  %at.node = phi ptr [%behind, %sized], [%node.after, %child.done]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %child.get, label %done
child.get:
  switch i64 %kind, label %get.dict [
    i64 {NODE_TUPLE}, label %get.tuple
    i64 {LIST}, label %get.list
  ]
get.tuple:
  %item = call ptr @PyTuple_GetItem(ptr %object, i64 %i)
  br label %got
get.list:
  %element = call ptr @PyList_GetItem(ptr %object, i64 %i)
  br label %got
get.dict:
  %key.at = getelementptr ptr, ptr %keys, i64 %i
  %key = load ptr, ptr %key.at
  %value = call ptr @PyDict_GetItemWithError(ptr %object, ptr %key)
  br label %got
got:
  %found = phi ptr [%item, %get.tuple], [%element, %get.list], [%value, %get.dict]
  %missing = icmp eq ptr %found, null
  br i1 %missing, label %no, label %child.walk
child.walk:
  call void @Py_IncRef(ptr %found)
  %node.after = call ptr @walk(ptr %at.node, ptr %found, ptr %cursor)
  call void @Py_DecRef(ptr %found)
  %fits = icmp ne ptr %node.after, null
  br i1 %fits, label %child.done, label %no
child.done:
  %i.more = add i64 %i, 1
  br label %child
whole:
  ret ptr %behind
done:
  ret ptr %at.node
no:
  ret ptr null
}

define internal i64 @keyword_place(ptr %form, ptr %name) {
entry:
  %count.at = getelementptr i8, ptr %form, i64 {FormTable.keywords}
  %count = load i64, ptr %count.at
  %names.at = getelementptr i8, ptr %form, i64 {FormTable.names}
  %names = load ptr, ptr %names.at
  br label %next
next:
  %i = phi i64 [0, %entry], [%i.more, %other]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %compare, label %unknown
compare:
  %at = getelementptr ptr, ptr %names, i64 %i
  %known = load ptr, ptr %at
  %same = icmp eq ptr %known, %name
  br i1 %same, label %found, label %other
other:
  %i.more = add i64 %i, 1
  br label %next
found:
  ret i64 %i
unknown:
  ret i64 -1
}

define internal i1 @collect(ptr %form, ptr %arguments, i64 %count, ptr %keywords, ptr %cursor) {
entry:
  %positional = load i64, ptr %form
  %keywords.at = getelementptr i8, ptr %form, i64 {FormTable.keywords}
  %wanted = load i64, ptr %keywords.at
  %total = add i64 %positional, %wanted
  %values = alloca ptr, i64 %total
  %same.count = icmp eq i64 %count, %positional
  br i1 %same.count, label %copy, label %no
copy:
  %p = phi i64 [0, %entry], [%p.more, %copy.one]
  %p.left = icmp ult i64 %p, %count
  br i1 %p.left, label %copy.one, label %named
copy.one:
  %argument.at = getelementptr ptr, ptr %arguments, i64 %p
  %argument = load ptr, ptr %argument.at
  %value.to = getelementptr ptr, ptr %values, i64 %p
  store ptr %argument, ptr %value.to
  %p.more = add i64 %p, 1
  br label %copy
named:
  %no.keywords = icmp eq ptr %keywords, null
  br i1 %no.keywords, label %keywords.counted, label %count.keywords
count.keywords:
  %given = call i64 @PyTuple_Size(ptr %keywords)
  br label %keywords.counted
keywords.counted:
  %names = phi i64 [0, %named], [%given, %count.keywords]
  %same.names = icmp eq i64 %names, %wanted
  br i1 %same.names, label %name, label %no
name:
  %k = phi i64 [0, %keywords.counted], [%k.more, %name.known]
  %k.left = icmp ult i64 %k, %names
  br i1 %k.left, label %name.find, label %arguments.begin
name.find:
  %text = call ptr @PyTuple_GetItem(ptr %keywords, i64 %k)
  %place = call i64 @keyword_place(ptr %form, ptr %text)
  %known = icmp sge i64 %place, 0
  br i1 %known, label %name.known, label %no
name.known:
  %from = add i64 %count, %k
  %named.at = getelementptr ptr, ptr %arguments, i64 %from
  %named.value = load ptr, ptr %named.at
  %to = add i64 %positional, %place
  %named.to = getelementptr ptr, ptr %values, i64 %to
  store ptr %named.value, ptr %named.to
  %k.more = add i64 %k, 1
  br label %name
arguments.begin:
  %all.at = getelementptr i8, ptr %form, i64 {FormTable.arguments}
  %all = load i64, ptr %all.at
  %order.at = getelementptr i8, ptr %form, i64 {FormTable.order}
  %order = load ptr, ptr %order.at
  %nodes.at = getelementptr i8, ptr %form, i64 {FormTable.nodes}
  %nodes = load ptr, ptr %nodes.at
  br label %next
next:
  %a = phi i64 [0, %arguments.begin], [%a.more, %walked]
  %node = phi ptr [%nodes, %arguments.begin], [%node.after, %walked]
  %a.left = icmp ult i64 %a, %all
  br i1 %a.left, label %walk.one, label %yes
walk.one:
  %which.at = getelementptr i64, ptr %order, i64 %a
  %which = load i64, ptr %which.at
  %root.at = getelementptr ptr, ptr %values, i64 %which
  %root = load ptr, ptr %root.at
  %node.after = call ptr @walk(ptr %node, ptr %root, ptr %cursor)
  %walks = icmp ne ptr %node.after, null
  br i1 %walks, label %walked, label %no
walked:
  %a.more = add i64 %a, 1
  br label %next
yes:
  ret i1 true
no:
  call void @PyErr_Clear()
  ret i1 false
}
"""
