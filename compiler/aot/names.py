"""Names that C accepts: of functions, parameters and header guards."""

from __future__ import annotations

import re
from collections.abc import Iterable

from phalanx.dialects.errors import ArgumentError

# C99, C11, C++ keywords, and names of the headers' own macros and types.
RESERVED = frozenset([
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern", "float",
    "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed", "sizeof",
    "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while", "alignas", "alignof",
    "asm", "atomic", "bool", "complex", "imaginary", "noreturn", "thread_local", "and", "and_eq", "bitand", "bitor",
    "catch", "class", "compl", "concept", "const_cast", "constexpr", "decltype", "delete", "dynamic_cast", "explicit",
    "export", "false", "friend", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr", "operator",
    "or", "or_eq", "private", "protected", "public", "reinterpret_cast", "requires", "static_assert", "static_cast",
    "template", "this", "throw", "true", "try", "typeid", "typename", "using", "virtual", "wchar_t", "xor", "xor_eq",
    "main", "int8_t", "int16_t", "int32_t", "int64_t", "uint8_t", "uint16_t", "uint32_t", "uint64_t", "size_t", "NULL",
    "malloc", "free", "memcpy", "memset", "memmove",
])

_OURS = ("px_", "phalanx_")


def function_name(name: str) -> str:
    """`name` if C can use it for a function; raises ArgumentError with a name that it could."""
    if not isinstance(name, str):
        raise ArgumentError(f"export: the name of a function is a string, got {name!r}")
    usable = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and "__" not in name
    if not usable or name in RESERVED or name.startswith(_OURS):
        raise ArgumentError(f"export: {name!r} cannot be the name of a C function",
                            hint=f'give it another one: name="{suggestion(name)}"')
    return name


def suggestion(name: str) -> str:
    """A usable name that looks like `name`."""
    cleaned = re.sub(r"_+", "_", re.sub(r"\W", "_", name, flags=re.ASCII)).strip("_") or "function"
    if cleaned in RESERVED or cleaned[0].isdigit() or cleaned.startswith(_OURS):
        cleaned = f"f_{cleaned}"
    return cleaned


def parameter_names(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """C parameter names for argument names such as `params['w']`, each used once.

    >>> parameter_names(["x", "params['w']", "int"])
    ['x', 'params_w', 'int_']
    """
    used = {*taken}
    found = []
    for name in names:
        cleaned = re.sub(r"_+", "_", re.sub(r"\W", "_", name, flags=re.ASCII)).strip("_") or "argument"
        if cleaned[0].isdigit():
            cleaned = f"argument{cleaned}"
        if cleaned in RESERVED:
            cleaned += "_"
        candidate, number = cleaned, 1
        while candidate in used:
            number += 1
            candidate = f"{cleaned}{number}"
        used.add(candidate)
        found.append(candidate)
    return found
