"""LLVM IR of the native entry, first part: from Python objects to addresses. Names in braces are filled in by `source.py`."""

# The address of an input's first element, and the object that keeps it; null address: it does not fit.
ADDRESS = """
define internal ptr @buffer_address(ptr %table, ptr %buffer, ptr %keeper) {
entry:
  %type.at = getelementptr i8, ptr %buffer, i64 8
  %type = load ptr, ptr %type.at
  %is.buffer = icmp eq ptr %type, @px_buffer_type
  br i1 %is.buffer, label %check, label %no
check:
  %device.at = getelementptr i8, ptr %buffer, i64 {buffer_device}
  %device = load ptr, ptr %device.at
  %wanted.at = getelementptr i8, ptr %table, i64 {Table.device}
  %wanted = load ptr, ptr %wanted.at
  %here = icmp eq ptr %device, %wanted
  %memory.at = getelementptr i8, ptr %buffer, i64 {buffer_memory}
  %memory = load ptr, ptr %memory.at
  %there = icmp ne ptr %memory, null
  %usable = and i1 %here, %there
  br i1 %usable, label %memory.check, label %no
memory.check:
  %memory.type.at = getelementptr i8, ptr %memory, i64 8
  %memory.type = load ptr, ptr %memory.type.at
  %is.memory = icmp eq ptr %memory.type, @px_memory_type
  br i1 %is.memory, label %read, label %no
read:
  store ptr %memory, ptr %keeper
  %number.at = getelementptr i8, ptr %memory, i64 {memory_address}
  %number = load ptr, ptr %number.at
  %address = call ptr @PyLong_AsVoidPtr(ptr %number)
  %bad = icmp eq ptr %address, null
  br i1 %bad, label %clear, label %good
clear:
  call void @PyErr_Clear()
  br label %no
good:
  ret ptr %address
no:
  ret ptr null
}

define internal ptr @tensor_address(ptr %table, ptr %record, ptr %tensor, ptr %keeper) {
entry:
  %backend.at = getelementptr i8, ptr %tensor, i64 {tensor_backend}
  %backend = load ptr, ptr %backend.at
  %own.at = getelementptr i8, ptr %table, i64 {Table.backend}
  %own = load ptr, ptr %own.at
  %same.backend = icmp eq ptr %backend, %own
  %storage.at = getelementptr i8, ptr %tensor, i64 {tensor_storage}
  %storage = load ptr, ptr %storage.at
  %there = icmp ne ptr %storage, null
  %aval.at = getelementptr i8, ptr %tensor, i64 {tensor_aval}
  %aval = load ptr, ptr %aval.at
  %described = icmp ne ptr %aval, null
  %complete = and i1 %there, %described
  %usable = and i1 %same.backend, %complete
  br i1 %usable, label %compare, label %no
compare:
  %usual.at = getelementptr i8, ptr %record, i64 {Record.aval}
  %usual = load ptr, ptr %usual.at
  %same.aval = icmp eq ptr %aval, %usual
  br i1 %same.aval, label %read, label %compare.dtype
compare.dtype:
  %dtype.at = getelementptr i8, ptr %aval, i64 {aval_dtype}
  %dtype = load ptr, ptr %dtype.at
  %wanted.at = getelementptr i8, ptr %record, i64 {Record.dtype}
  %wanted = load ptr, ptr %wanted.at
  %same.dtype = icmp eq ptr %dtype, %wanted
  br i1 %same.dtype, label %compare.shape, label %no
compare.shape:
  %shape.at = getelementptr i8, ptr %aval, i64 {aval_shape}
  %shape = load ptr, ptr %shape.at
  %shape.wanted.at = getelementptr i8, ptr %record, i64 {Record.shape}
  %shape.wanted = load ptr, ptr %shape.wanted.at
  %same.shape = call i32 @PyObject_RichCompareBool(ptr %shape, ptr %shape.wanted, i32 2)
  %equal = icmp eq i32 %same.shape, 1
  br i1 %equal, label %read, label %unequal
unequal:
  %failed = icmp slt i32 %same.shape, 0
  br i1 %failed, label %clear, label %no
clear:
  call void @PyErr_Clear()
  br label %no
read:
  %address = call ptr @buffer_address(ptr %table, ptr %storage, ptr %keeper)
  ret ptr %address
no:
  ret ptr null
}

define internal ptr @array_address(ptr %record, ptr %array) {
entry:
  %flags.at = getelementptr i8, ptr %array, i64 {ARRAY_FLAGS}
  %flags = load i32, ptr %flags.at
  %dense.bits = and i32 %flags, {ARRAY_DENSE}
  %dense = icmp eq i32 %dense.bits, {ARRAY_DENSE}
  %dtype.at = getelementptr i8, ptr %array, i64 {ARRAY_DTYPE}
  %dtype = load ptr, ptr %dtype.at
  %wanted.at = getelementptr i8, ptr %record, i64 {Record.numpy}
  %wanted = load ptr, ptr %wanted.at
  %same.dtype = icmp eq ptr %dtype, %wanted
  %rank.at = getelementptr i8, ptr %array, i64 {ARRAY_RANK}
  %rank.short = load i32, ptr %rank.at
  %rank = sext i32 %rank.short to i64
  %rank.wanted.at = getelementptr i8, ptr %record, i64 {Record.rank}
  %rank.wanted = load i64, ptr %rank.wanted.at
  %same.rank = icmp eq i64 %rank, %rank.wanted
  %both = and i1 %dense, %same.dtype
  %alike = and i1 %both, %same.rank
  %sizes.at = getelementptr i8, ptr %array, i64 {ARRAY_SIZES}
  %sizes = load ptr, ptr %sizes.at
  %expected.at = getelementptr i8, ptr %record, i64 {Record.sizes}
  %expected = load ptr, ptr %expected.at
  br i1 %alike, label %axis, label %no
axis:
  %i = phi i64 [0, %entry], [%following, %axis.same]
  %left = icmp ult i64 %i, %rank
  br i1 %left, label %axis.compare, label %read
axis.compare:
  %size.at = getelementptr i64, ptr %sizes, i64 %i
  %size = load i64, ptr %size.at
  %size.wanted.at = getelementptr i64, ptr %expected, i64 %i
  %size.wanted = load i64, ptr %size.wanted.at
  %same.size = icmp eq i64 %size, %size.wanted
  br i1 %same.size, label %axis.same, label %no
axis.same:
  %following = add i64 %i, 1
  br label %axis
read:
  %data.at = getelementptr i8, ptr %array, i64 {ARRAY_DATA}
  %data = load ptr, ptr %data.at
  ret ptr %data
no:
  ret ptr null
}

define internal ptr @number_address(i64 %accepts, ptr %object, ptr %type, ptr %room) {
entry:
  %overflow = alloca i32
  %float.bit = and i64 %accepts, {FLOAT32}
  %takes.float = icmp ne i64 %float.bit, 0
  %is.float = icmp eq ptr %type, @px_float_type
  %float = and i1 %takes.float, %is.float
  br i1 %float, label %store.float, label %try.int
store.float:
  %double = call double @PyFloat_AsDouble(ptr %object)
  %single = fptrunc double %double to float
  %magnitude = call double @llvm.fabs.f64(double %double)
  %huge = fcmp ogt double %magnitude, 0x47EFFFFFE0000000
  store float %single, ptr %room
  br i1 %huge, label %no, label %yes
try.int:
  %int.bit = and i64 %accepts, {INT32}
  %takes.int = icmp ne i64 %int.bit, 0
  %is.int = icmp eq ptr %type, @px_int_type
  %int = and i1 %takes.int, %is.int
  br i1 %int, label %store.int, label %try.bool
store.int:
  %long = call i64 @PyLong_AsLongLongAndOverflow(ptr %object, ptr %overflow)
  %short = trunc i64 %long to i32
  %back = sext i32 %short to i64
  %fits = icmp eq i64 %back, %long
  %beyond = load i32, ptr %overflow
  %within = icmp eq i32 %beyond, 0
  store i32 %short, ptr %room
  %good = and i1 %fits, %within
  br i1 %good, label %yes, label %no
try.bool:
  %bool.bit = and i64 %accepts, {BOOL}
  %takes.bool = icmp ne i64 %bool.bit, 0
  %is.true = icmp eq ptr %object, @px_true
  %is.false = icmp eq ptr %object, @px_false
  %is.bool = or i1 %is.true, %is.false
  %bool = and i1 %takes.bool, %is.bool
  br i1 %bool, label %store.bool, label %no
store.bool:
  %byte = zext i1 %is.true to i8
  store i8 %byte, ptr %room
  br label %yes
yes:
  ret ptr %room
no:
  ret ptr null
}

define internal ptr @input_address(ptr %table, ptr %record, ptr %object, ptr %room, ptr %keeper) {
entry:
  %accepts.at = getelementptr i8, ptr %record, i64 {Record.accepts}
  %accepts = load i64, ptr %accepts.at
  %type.at = getelementptr i8, ptr %object, i64 8
  %type = load ptr, ptr %type.at
  %is.tensor = icmp eq ptr %type, @px_tensor_type
  %tensor.bit = and i64 %accepts, {TENSOR}
  %takes.tensor = icmp ne i64 %tensor.bit, 0
  %tensor = and i1 %is.tensor, %takes.tensor
  br i1 %tensor, label %of.tensor, label %try.array
of.tensor:
  %from.tensor = call ptr @tensor_address(ptr %table, ptr %record, ptr %object, ptr %keeper)
  ret ptr %from.tensor
try.array:
  %is.array = icmp eq ptr %type, @px_array_type
  %array.bit = and i64 %accepts, {ARRAY}
  %takes.array = icmp ne i64 %array.bit, 0
  %array = and i1 %is.array, %takes.array
  br i1 %array, label %of.array, label %of.number
of.array:
  %from.array = call ptr @array_address(ptr %record, ptr %object)
  ret ptr %from.array
of.number:
  %from.number = call ptr @number_address(i64 %accepts, ptr %object, ptr %type, ptr %room)
  ret ptr %from.number
}
"""
