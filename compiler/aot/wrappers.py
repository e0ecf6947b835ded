"""The C functions around one entry, as LLVM IR text: checks, scratch memory, choice of the level, the call.

    f          inputs, outputs, sizes [, weights]
    f_ex       the same, then arena, its bytes, a parallel-for callback and its user pointer
    f_call     the same for every function: arrays of pointers and of all sizes
    f_arena_bytes, f_out_shape, f_status_text, f_manifest

`f__check` (sizes) and `f__run` (everything else) are shared by them and not exported.
"""

from __future__ import annotations

from collections.abc import Mapping

from phalanx.compiler.aot.dispatcher import x86_table
from phalanx.compiler.aot.entries import Entry, locate
from phalanx.compiler.aot.size_code import Code, SizeCode
from phalanx.compiler.aot.status import TEXTS, UNKNOWN, Status
from phalanx.runtime.signature import Argument

ALIGNMENT = 64
#: arenas up to this many bytes lie on the stack
STACK_BYTES = 4096
SUFFIXES = ("", "_ex", "_call", "_arena_bytes", "_out_shape", "_status_text", "_manifest")

_ENTRY = "(ptr, ptr, ptr, ptr, ptr)"
_RUN = "ptr %pointers, ptr %sizes, ptr %arena, i64 %arena.bytes, ptr %parallel, ptr %user"


def exported(entry: Entry) -> list[str]:
    """Names of the C functions of an entry."""
    return [entry.name + suffix for suffix in SUFFIXES]


def level_symbol(entry: Entry, level: str) -> str:
    """The code of an entry for one level; its scratch memory is measured by `<symbol>__arena`."""
    return f"{entry.name}__{level.replace('-', '_').replace('.', '_')}"


def library_text(manifest: bytes, *, macos: bool = False) -> str:
    """What all functions of a library share: the manifest and the texts of the status codes."""
    escaped = "".join(f"\\{byte:02X}" for byte in manifest + b"\0")
    section = "__TEXT,__phalanx" if macos else ".phalanx.manifest"
    lines = [
        f'@px_manifest = internal constant [{len(manifest) + 1} x i8] c"{escaped}", section "{section}", align 1',
        '@llvm.used = appending global [1 x ptr] [ptr @px_manifest], section "llvm.metadata"',
    ]
    texts = {f"@px_text.{abs(code)}": text for code, text in TEXTS.items()} | {"@px_text.unknown": UNKNOWN}
    lines += [f'{name} = internal unnamed_addr constant [{len(text) + 1} x i8] c"{text}\\00"' for name, text in texts.items()]
    cases = " ".join(f"i32 {code:d}, label %is.{abs(code)}" for code in TEXTS if code is not Status.SIZE_DISAGREES)
    lines += [
        "define internal ptr @px_status_text(i32 %status) nounwind {",
        f"  switch i32 %status, label %other [ {cases} ]",
        *(f"is.{abs(code)}:\n  ret ptr @px_text.{abs(code)}" for code in TEXTS if code is not Status.SIZE_DISAGREES),
        "other:",
        f"  %large = icmp sge i32 %status, {Status.SIZE_DISAGREES:d}",
        f"  %text = select i1 %large, ptr @px_text.{Status.SIZE_DISAGREES:d}, ptr @px_text.unknown",
        "  ret ptr %text",
        "}",
        "declare ptr @malloc(i64)",
        "declare void @free(ptr)",
    ]
    return "\n".join(lines) + "\n"


def entry_text(entry: Entry, levels: Mapping[str, str], *, dispatched: bool, weights_id: bytes = b"") -> str:
    """Every function of an entry; `levels` maps a level to the symbol of its code.

    Without `dispatched` there is one level, whose code is called without asking the processor.
    `weights_id` are the 16 bytes the weights file has at `WEIGHTS_ID_OFFSET`.
    """
    return "\n".join([
        _tables(entry, levels, dispatched),
        _check(entry),
        _arena_bytes(entry, levels, dispatched),
        _run(entry, levels, dispatched, weights_id),
        _simple(entry, explicit=False),
        _simple(entry, explicit=True),
        _call(entry),
        _out_shape(entry),
        _status_text(entry),
        f"define ptr @{entry.name}_manifest() nounwind {{\n  ret ptr @px_manifest\n}}",
    ]) + "\n"


def _status_text(entry: Entry) -> str:
    """`f_status_text`: the texts all functions share, and one for each fact that this one assumes."""
    name, first = entry.name, int(Status.ASSUMPTION)
    lines, cases = [], []
    for number, assumption in enumerate(entry.assumptions):
        text = assumption.text_elsewhere.encode() + b"\0"
        escaped = "".join(f"\\{byte:02X}" for byte in text)
        lines.append(f'@{name}__assumption{number} = internal unnamed_addr constant [{len(text)} x i8] c"{escaped}"')
        cases.append(f"i32 {first + number}, label %is.{number}")
    lines += [f"define ptr @{name}_status_text(i32 %status) nounwind {{",
              f"  switch i32 %status, label %other [ {' '.join(cases)} ]",
              *(f"is.{number}:\n  ret ptr @{name}__assumption{number}" for number in range(len(cases))),
              "other:", "  %text = call ptr @px_status_text(i32 %status)", "  ret ptr %text", "}"]
    return "\n".join(lines)


# -- choice of the level -----------------------------------------------------------------------------------------


def _tables(entry: Entry, levels: Mapping[str, str], dispatched: bool) -> str:
    lines = [line for symbol in levels.values()
             for line in (f"declare i32 @{symbol}{_ENTRY}", f"declare i64 @{symbol}__arena(ptr)")]
    if dispatched:
        for suffix in ("", "__arena"):
            symbols = x86_table(dict(levels))
            rows = ", ".join("ptr null" if s == "null" else f"ptr @{s}{suffix}" for s in symbols)
            lines.append(f"@{entry.name}__table{suffix} = internal constant [{len(symbols)} x ptr] [{rows}]")
    return "\n".join(lines)


def _chosen(code: Code, entry: Entry, levels: Mapping[str, str], dispatched: bool, suffix: str) -> str:
    """Address of the code for this processor; null when there is none."""
    if not dispatched:
        (symbol,) = levels.values()
        return f"@{symbol}{suffix}"
    level = code.value("call i32 @px_level()")
    wide = code.value(f"zext i32 {level} to i64")
    slot = code.value(f"getelementptr ptr, ptr @{entry.name}__table{suffix}, i64 {wide}")
    return code.value(f"load ptr, ptr {slot}, align 8")


def _leave_when(code: Code, condition: str, result: str, following: str) -> None:
    """Return `result` when the condition holds."""
    if condition == "false":
        return
    code.line(f"br i1 {condition}, label %{following}.leave, label %{following}")
    code.label(f"{following}.leave")
    code.line(f"ret {result}")
    code.label(following)


# -- sizes -------------------------------------------------------------------------------------------------------


def _load(code: Code, kind: str, array: str, index: int) -> str:
    slot = code.value(f"getelementptr {kind}, ptr {array}, i64 {index}")
    return code.value(f"load {kind}, ptr {slot}, align 8")


def _names(code: SizeCode, entry: Entry, array: str) -> None:
    for index, name in enumerate(entry.dims):
        code.names[name] = _load(code, "i64", array, index)


def _check(entry: Entry) -> str:
    """`i32 f__check(sizes)`: whether the values of the named sizes make sense."""
    code = SizeCode({})
    _names(code, entry, "%sizes")
    negative = [code.pure(f"icmp slt i64 {value}, 0") for value in code.names.values()]
    assumed = [code.broken(assumption.fact) for assumption in entry.assumptions]
    stated = code.any_of(code.overflow)
    for shape, itemsize in entry.tensors:
        for size in shape:
            value = code.size(size)
            if not value.isdecimal() and value not in code.names.values():
                negative.append(code.pure(f"icmp slt i64 {value}, 0"))
        code.nbytes(shape, itemsize)
    for fact in entry.requirements:
        code.invalid.append(code.broken(fact))
    status = f"{Status.OK:d}"
    for flags, failure in ((code.invalid, Status.CONSTRAINT), (negative, Status.NEGATIVE), (code.overflow, Status.OVERFLOW)):
        flag = code.any_of(flags)
        if flag != "false":
            status = code.value(f"select i1 {flag}, i32 {failure:d}, i32 {status}")
    for number, flag in reversed([*enumerate(assumed)]):
        status = code.value(f"select i1 {flag}, i32 {Status.ASSUMPTION + number:d}, i32 {status}")
    if stated != "false":  # the facts mean nothing
        status = code.value(f"select i1 {stated}, i32 {Status.OVERFLOW:d}, i32 {status}")
    names_negative = code.any_of(negative[:len(code.names)])
    if names_negative != "false":  # products of negative sizes mean nothing
        status = code.value(f"select i1 {names_negative}, i32 {Status.NEGATIVE:d}, i32 {status}")
    code.line(f"ret i32 {status}")
    return f"define internal i32 @{entry.name}__check(ptr %sizes) noinline nounwind {{\n{code.text}\n}}"


def _dim_parameters(entry: Entry) -> list[str]:
    return [f"i64 %size{i}" for i in range(len(entry.dims))]


def _size_array(code: Code, entry: Entry) -> str:
    """The named sizes, given as parameters, in an array."""
    if not entry.dims:
        return "null"
    array = code.value(f"alloca [{len(entry.dims)} x i64], align 8")
    for index in range(len(entry.dims)):
        slot = code.value(f"getelementptr i64, ptr {array}, i64 {index}")
        code.line(f"store i64 %size{index}, ptr {slot}, align 8")
    return array


def _arena_bytes(entry: Entry, levels: Mapping[str, str], dispatched: bool) -> str:
    code = Code()
    array = _size_array(code, entry)
    status = code.value(f"call i32 @{entry.name}__check(ptr {array})")
    _leave_when(code, code.value(f"icmp ne i32 {status}, 0"), "i64 -1", "sizes.fit")
    measure = _chosen(code, entry, levels, dispatched, "__arena")
    if dispatched:
        _leave_when(code, code.value(f"icmp eq ptr {measure}, null"), f"i64 {Status.CPU:d}", "known")
    needed = code.value(f"call i64 {measure}(ptr {array})")
    some = code.value(f"icmp sgt i64 {needed}, 0")
    more = code.value(f"add i64 {needed}, {ALIGNMENT}")  # so that the caller's memory may have any alignment
    total = code.value(f"select i1 {some}, i64 {more}, i64 0")
    code.line(f"ret i64 {total}")
    return f"define i64 @{entry.name}_arena_bytes({', '.join(_dim_parameters(entry))}) nounwind {{\n{code.text}\n}}"


def _out_shape(entry: Entry) -> str:
    outputs = [(i, a) for i, a in enumerate(entry.signature.outputs) if a.shape]
    parameters = _dim_parameters(entry) + [f"ptr %shape{i}" for i, _ in outputs]
    code = SizeCode({name: f"%size{i}" for i, name in enumerate(entry.dims)})
    array = _size_array(code, entry)
    status = code.value(f"call i32 @{entry.name}__check(ptr {array})")
    _leave_when(code, code.value(f"icmp ne i32 {status}, 0"), f"i32 {status}", "sizes.fit")
    for index, argument in outputs:
        for axis, size in enumerate(argument.shape):
            slot = code.value(f"getelementptr i64, ptr %shape{index}, i64 {axis}")
            code.line(f"store i64 {code.size(size)}, ptr {slot}, align 8")
    code.line("ret i32 0")
    return f"define i32 @{entry.name}_out_shape({', '.join(parameters)}) nounwind {{\n{code.text}\n}}"


# -- the call ----------------------------------------------------------------------------------------------------

#: where a weights file has the 16 bytes that identify it: behind `<8 bytes>{"__metadata__":{"phalanx":"`
WEIGHTS_ID_OFFSET = 8 + len('{"__metadata__":{"phalanx":"')


def _run(entry: Entry, levels: Mapping[str, str], dispatched: bool, weights_id: bytes) -> str:
    """`i32 f__run(pointers, sizes, arena, arena bytes, parallel, user)`: checks everything, then runs."""
    code = SizeCode({})
    inputs, outputs = entry.signature.inputs, entry.signature.outputs
    table = code.value(f"alloca [{len(inputs) + len(entry.captured) + len(outputs)} x ptr], align 8")
    stack = code.value(f"alloca [{STACK_BYTES + ALIGNMENT} x i8], align {ALIGNMENT}")
    status = code.value(f"call i32 @{entry.name}__check(ptr %sizes)")
    _leave_when(code, code.value(f"icmp ne i32 {status}, 0"), f"i32 {status}", "sizes.fit")
    _names(code, entry, "%sizes")
    pointers = [_load(code, "ptr", "%pointers", i) for i in range(len(inputs) + len(outputs))]
    sizes = [code.nbytes(a.shape, a.dtype.itemsize) for a in [*inputs, *outputs]]
    addresses = [code.pure(f"ptrtoint ptr {p} to i64") for p in pointers]
    wrong = [_unusable(code, address, size, a)
             for address, size, a in zip(addresses, sizes, [*inputs, *outputs], strict=True)]
    _leave_when(code, code.any_of(wrong), f"i32 {Status.POINTER:d}", "usable")
    apart = _overlaps(code, addresses, sizes, len(inputs))
    _leave_when(code, code.any_of(apart), f"i32 {Status.OVERLAP:d}", "apart")
    weights = _weights(code, entry, weights_id, len(pointers))
    measure = _chosen(code, entry, levels, dispatched, "__arena")
    if dispatched:
        _leave_when(code, code.value(f"icmp eq ptr {measure}, null"), f"i32 {Status.CPU:d}", "supported")
    captured = [f"@{c.symbol}" if c.where != "file" else code.value(f"getelementptr i8, ptr {weights}, i64 {c.offset}")
                for c in entry.captured]
    for index, pointer in enumerate([*pointers[:len(inputs)], *captured, *pointers[len(inputs):]]):
        slot = code.value(f"getelementptr ptr, ptr {table}, i64 {index}")
        code.line(f"store ptr {pointer}, ptr {slot}, align 8")
    needed = code.value(f"call i64 {measure}(ptr %sizes)")
    function = _chosen(code, entry, levels, dispatched, "")
    code.line("br label %arena.choose")
    code.lines += _ARENA.format(needed=needed, stack=stack, limit=STACK_BYTES, room=ALIGNMENT, up=ALIGNMENT - 1,
                                mask=-ALIGNMENT, arena_status=f"{Status.ARENA:d}", memory_status=f"{Status.MEMORY:d}",
                                function=function, table=table).splitlines()
    return f"define internal i32 @{entry.name}__run({_RUN}) noinline nounwind {{\n{code.text}\n}}"


# The arena is the caller's, or the stack's when it is small, or the heap's.
_ARENA = """arena.choose:
  %given = icmp ne ptr %arena, null
  br i1 %given, label %arena.given, label %arena.own
arena.given:
  %arena.address = ptrtoint ptr %arena to i64
  %arena.up = add i64 %arena.address, {up}
  %arena.aligned = and i64 %arena.up, {mask}
  %arena.lost = sub i64 %arena.aligned, %arena.address
  %arena.left = sub i64 %arena.bytes, %arena.lost
  %arena.enough = icmp sge i64 %arena.left, {needed}
  %arena.none = icmp sle i64 {needed}, 0
  %arena.fits = or i1 %arena.enough, %arena.none
  br i1 %arena.fits, label %arena.use, label %arena.small
arena.small:
  ret i32 {arena_status}
arena.use:
  %arena.start = inttoptr i64 %arena.aligned to ptr
  br label %launch
arena.own:
  %on.stack = icmp sle i64 {needed}, {limit}
  br i1 %on.stack, label %launch, label %arena.heap
arena.heap:
  %heap.bytes = add i64 {needed}, {room}
  %heap = call ptr @malloc(i64 %heap.bytes)
  %heap.failed = icmp eq ptr %heap, null
  br i1 %heap.failed, label %heap.none, label %heap.use
heap.none:
  ret i32 {memory_status}
heap.use:
  %heap.address = ptrtoint ptr %heap to i64
  %heap.up = add i64 %heap.address, {up}
  %heap.aligned = and i64 %heap.up, {mask}
  %heap.start = inttoptr i64 %heap.aligned to ptr
  br label %launch
launch:
  %scratch = phi ptr [ %arena.start, %arena.use ], [ {stack}, %arena.own ], [ %heap.start, %heap.use ]
  %to.free = phi ptr [ null, %arena.use ], [ null, %arena.own ], [ %heap, %heap.use ]
  %result = call i32 {function}(ptr {table}, ptr %sizes, ptr %scratch, ptr %parallel, ptr %user)
  %kept = icmp eq ptr %to.free, null
  br i1 %kept, label %done, label %release
release:
  call void @free(ptr %to.free)
  br label %done
done:
  ret i32 %result"""


def _unusable(code: SizeCode, address: str, size: str, argument: Argument) -> str:
    """Whether a pointer is NULL or misaligned although there are elements."""
    if size == "0":
        return "false"
    low = code.pure(f"and i64 {address}, {argument.dtype.itemsize - 1}")
    flag = code.any_of([code.pure(f"icmp ne i64 {low}, 0"), code.pure(f"icmp eq i64 {address}, 0")])
    if size.isdecimal():
        return flag
    some = code.pure(f"icmp ne i64 {size}, 0")
    return code.pure(f"and i1 {flag}, {some}")


def _overlaps(code: SizeCode, addresses: list[str], sizes: list[str], inputs: int) -> list[str]:
    """For each output, whether it shares a byte with an input or with an output after it."""
    ends = [code.pure(f"add i64 {a}, {s}") for a, s in zip(addresses, sizes, strict=True)]
    flags = []
    for output in range(inputs, len(addresses)):
        for other in [*range(inputs), *range(output + 1, len(addresses))]:
            before = code.pure(f"icmp ult i64 {addresses[output]}, {ends[other]}")
            behind = code.pure(f"icmp ult i64 {addresses[other]}, {ends[output]}")
            flag = code.pure(f"and i1 {before}, {behind}")
            for size in (sizes[output], sizes[other]):  # an empty array inside another one is not an overlap
                if not size.isdecimal():
                    some = code.pure(f"icmp ne i64 {size}, 0")
                    flag = code.pure(f"and i1 {flag}, {some}")
            if "0" not in (sizes[output], sizes[other]):
                flags.append(flag)
    return flags


def _weights(code: SizeCode, entry: Entry, weights_id: bytes, position: int) -> str:
    """The address of the weights file, checked to be the one of this library."""
    if not entry.external:
        return "null"
    pointer = _load(code, "ptr", "%pointers", position)
    _leave_when(code, code.value(f"icmp eq ptr {pointer}, null"), f"i32 {Status.WEIGHTS:d}", "weights.given")
    differences = []
    for at in (0, 8):
        slot = code.value(f"getelementptr i8, ptr {pointer}, i64 {WEIGHTS_ID_OFFSET + at}")
        word = code.value(f"load i64, ptr {slot}, align 1")
        differences.append(code.value(f"icmp ne i64 {word}, {int.from_bytes(weights_id[at:at + 8], 'little', signed=True)}"))
    _leave_when(code, code.any_of(differences), f"i32 {Status.WEIGHTS:d}", "weights.match")
    return pointer


def _simple(entry: Entry, *, explicit: bool) -> str:
    """`f` and `f_ex`: pointers and sizes as parameters."""
    count = len(entry.signature.inputs) + len(entry.signature.outputs)
    parameters = [f"ptr %p{i}" for i in range(count)] + _dim_parameters(entry)
    if entry.external:
        parameters.append("ptr %weights")
    means = ["ptr null", "i64 0", "ptr null", "ptr null"]
    if explicit:
        means = ["ptr %arena", "i64 %arena.bytes", "ptr %parallel", "ptr %user"]
        parameters += means
    code = Code()
    pointers = [f"%p{i}" for i in range(count)] + (["%weights"] if entry.external else [])
    table = code.value(f"alloca [{max(1, len(pointers))} x ptr], align 8")
    for index, pointer in enumerate(pointers):
        slot = code.value(f"getelementptr ptr, ptr {table}, i64 {index}")
        code.line(f"store ptr {pointer}, ptr {slot}, align 8")
    array = _size_array(code, entry)
    status = code.value(f"call i32 @{entry.name}__run(ptr {table}, ptr {array}, {', '.join(means)})")
    code.line(f"ret i32 {status}")
    return f"define i32 @{entry.name}{'_ex' if explicit else ''}({', '.join(parameters)}) nounwind {{\n{code.text}\n}}"


def _call(entry: Entry) -> str:
    """`f_call`: reads the named sizes from the sizes of the inputs and compares all others."""
    shapes = [size for a in [*entry.signature.inputs, *entry.signature.outputs] for size in a.shape]
    code = SizeCode({})
    array = code.value(f"alloca [{max(1, len(entry.dims))} x i64], align 8")
    _leave_when(code, code.value(f"icmp ne i64 %count, {len(shapes)}"), f"i32 {Status.SIZE_COUNT:d}", "counted")
    actual = [_load(code, "i64", "%sizes", k) for k in range(len(shapes))]
    wrong: dict[int, list[str]] = {}
    for index, name in enumerate(entry.dims):
        found = locate(entry.signature, name)
        assert found is not None
        position, factor, offset = found
        value = code.pure(f"sub i64 {actual[position]}, {offset}")
        if factor != 1:
            rest = code.pure(f"srem i64 {value}, {factor}")
            wrong.setdefault(position, []).append(code.pure(f"icmp ne i64 {rest}, 0"))
            value = code.pure(f"sdiv i64 {value}, {factor}")
        code.names[name] = value
        slot = code.value(f"getelementptr i64, ptr {array}, i64 {index}")
        code.line(f"store i64 {value}, ptr {slot}, align 8")
    if entry.dims:
        status = code.value(f"call i32 @{entry.name}__check(ptr {array})")
        _leave_when(code, code.value(f"icmp ne i32 {status}, 0"), f"i32 {status}", "sizes.fit")
    code.names = {name: _load(code, "i64", array, i) for i, name in enumerate(entry.dims)}
    for position, size in enumerate(shapes):
        wrong.setdefault(position, []).append(code.pure(f"icmp ne i64 {actual[position]}, {code.size(size)}"))
    status = "0"
    for position in sorted(wrong, reverse=True):
        flag = code.any_of(wrong[position])
        status = code.value(f"select i1 {flag}, i32 {Status.SIZE_DISAGREES + position:d}, i32 {status}")
    if shapes:
        _leave_when(code, code.value(f"icmp ne i32 {status}, 0"), f"i32 {status}", "agreed")
    result = code.value(f"call i32 @{entry.name}__run(ptr %pointers, ptr {array}, ptr %arena, i64 %arena.bytes, "
                        "ptr %parallel, ptr %user)")
    code.line(f"ret i32 {result}")
    parameters = "ptr %pointers, ptr %sizes, i64 %count, ptr %arena, i64 %arena.bytes, ptr %parallel, ptr %user"
    return f"define i32 @{entry.name}_call({parameters}) nounwind {{\n{code.text}\n}}"
