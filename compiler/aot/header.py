"""The C99 header of a library."""

from __future__ import annotations

import re
from collections.abc import Sequence

from phalanx.compiler.aot.entries import Entry
from phalanx.compiler.aot.names import parameter_names
from phalanx.compiler.aot.status import TEXTS, Status
from phalanx.runtime.signature import Argument

_TYPES = {"bool": "uint8_t", "float16": "uint16_t", "bfloat16": "uint16_t", "float32": "float", "float64": "double"}

_COUNTED = {Status.SIZE_DISAGREES: "plus k: sizes[k] of f_call disagrees",
            Status.ASSUMPTION: "plus k: assumption k of the manifest does not hold"}

_SHARED = """\
#ifndef PHALANX_ABI_1
#define PHALANX_ABI_1
/* What every function returns. */
enum {{
{codes}
}};
/* One share of the work: numbers begin to end - 1. `lane` is the thread that runs it, 0 to threads - 1. */
typedef void (*phalanx_task)(void *context, int64_t begin, int64_t end, int64_t lane);
/* Must call `task` so that every number from 0 to count - 1 is done once, and return when all are. */
typedef void (*phalanx_parallel_for)(void *user, int64_t count, phalanx_task task, void *context);
#endif
"""


def c_type(argument: Argument) -> str:
    """Element type of an argument in C: `bool` is a byte of 0 or 1, 16-bit floats are their bits."""
    name = argument.dtype.name
    return _TYPES.get(name, f"{name}_t")


def header(name: str, entries: Sequence[Entry], *, levels: Sequence[str]) -> str:
    """Text of the header for a library of this name."""
    guard = f"PHALANX_{re.sub(r'[^A-Za-z0-9]', '_', name).upper()}_H"
    codes = "\n".join(f"  PHALANX_{code.name} = {code:d}{'' if code is list(TEXTS)[-1] else ','}"
                      f" /* {_COUNTED.get(code, TEXTS[code])} */" for code in TEXTS)
    functions = "\n".join(_function(entry) for entry in entries)
    return f"""\
/* {name}: made by Phalanx for {', '.join(levels)}. C99 and C++. Needs no Phalanx at run time.
 *
 * Arrays are dense and row-major; a pointer must be aligned to its elements and may be NULL when the array is empty.
 * Outputs must not overlap inputs or each other. Functions are thread-safe, keep no state and never abort, print or exit.
 */
#ifndef {guard}
#define {guard}

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

{_SHARED.format(codes=codes)}
{functions}
#ifdef __cplusplus
}}
#endif

#endif
"""


def _comment(lines: Sequence[str]) -> str:
    return "/* " + "\n * ".join(line.replace("*/", "* /") for line in lines) + " */"


def _function(entry: Entry) -> str:
    signature, name = entry.signature, entry.name
    inputs = ", ".join(f"{a.name}: {a}" for a in signature.inputs)
    outputs = ", ".join(str(a) for a in signature.outputs)
    arrays = [*signature.inputs, *signature.outputs]
    fixed = [*entry.dims, *(["weights"] if entry.external else []), "arena", "arena_bytes", "parallel", "user"]
    labels = parameter_names([a.name for a in arrays], taken=parameter_names(fixed))
    sizes = parameter_names(entry.dims, taken=["arena", "arena_bytes", "parallel", "user", "weights"])
    parameters = [f"{'const ' if i < len(signature.inputs) else ''}{c_type(a)} *{label}"
                  for i, (a, label) in enumerate(zip(arrays, labels, strict=True))]
    dims = [f"int64_t {size}" for size in sizes]
    weights = ["const void *weights"] if entry.external else []
    shapes = [f"int64_t {label}[{len(a.shape)}]" for a, label in
              list(zip(arrays, labels, strict=True))[len(signature.inputs):] if a.shape]
    about = [f"{name}({inputs}) -> {outputs}", *entry.doc.splitlines(),
             *(f"Status {Status.ASSUMPTION + k} unless {a.fact}{': ' + a.message if a.message else ''}."
               for k, a in enumerate(entry.assumptions))]
    if entry.external:
        about.append("`weights` is the whole safetensors file that lies beside the library, mapped or read.")
    explicit = ["void *arena", "int64_t arena_bytes", "phalanx_parallel_for parallel", "void *user"]
    generic = ["void *const *pointers", "const int64_t *sizes", "int64_t count", *explicit]
    return f"""\
{_comment(about)}
int32_t {name}({', '.join([*parameters, *dims, *weights]) or 'void'});

{_comment(["The same with memory from the caller (NULL: allocated inside) of at least "
           f"{name}_arena_bytes, of any alignment,", "and with threads from the caller (NULL: none)."])}
int32_t {name}_ex({', '.join([*parameters, *dims, *weights, *explicit])});

{_comment([f"The same for generic callers: inputs, then outputs{', then weights' if weights else ''};",
           "and the sizes of all inputs and outputs in one array, which are compared."])}
int32_t {name}_call({', '.join(generic)});

/* Bytes of scratch memory of one call; -1 when the sizes make no sense, -100 when this processor is not supported. */
int64_t {name}_arena_bytes({', '.join(dims) or 'void'});

/* The shape of every output that has a rank. */
int32_t {name}_out_shape({', '.join([*dims, *shapes]) or 'void'});

const char *{name}_status_text(int32_t status);
const char *{name}_manifest(void);
"""
