"""Which level this machine has, asked once with cpuid: LLVM IR text.

The answer is kept in one atomic word. Every thread that races to fill it writes the same value.
"""

from __future__ import annotations

from phalanx.runtime.cpuid import EXTENDED, LEAF_1, LEAF_7, LEAF_EXTENDED, YMM_STATE, ZMM_STATE

#: level numbers of the table that `@px_level` indexes
X86_LEVELS = {"x86-64": 1, "x86-64-v2": 2, "x86-64-v3": 3, "x86-64-v4": 4}

_CLOBBERS = "~{dirflag},~{fpsr},~{flags}"
_CPUID = f'asm sideeffect "cpuid", "={{ax}},={{bx}},={{cx}},={{dx}},{{ax}},{{cx}},{_CLOBBERS}"'
_XGETBV = f'asm sideeffect "xgetbv", "={{ax}},={{dx}},{{cx}},{_CLOBBERS}"'


def _mask(bits: dict[str, int], *names: str) -> int:
    return sum(1 << bits[name] for name in names)


def _all_set(result: str, register: str, mask: int) -> str:
    return f"  {result}.bits = and i32 {register}, {mask}\n  {result} = icmp eq i32 {result}.bits, {mask}"


def x86_level_text() -> str:
    """`i32 @px_level()`: 1 to 4, the psABI level that processor and operating system support."""
    second = _mask(LEAF_1, "sse3", "ssse3", "cx16", "sse4.1", "sse4.2", "popcnt")
    third = _mask(LEAF_1, "fma", "movbe", "osxsave", "avx", "f16c")
    fourth = _mask(LEAF_7, "avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl")
    return f"""
@px_level.known = internal global i32 0

define internal {{ i32, i32, i32, i32 }} @px_cpuid(i32 %leaf) nounwind {{
  %r = call {{ i32, i32, i32, i32 }} {_CPUID}(i32 %leaf, i32 0)
  ret {{ i32, i32, i32, i32 }} %r
}}

define internal i32 @px_find_level() noinline nounwind {{
entry:
  %first = call {{ i32, i32, i32, i32 }} @px_cpuid(i32 0)
  %last = extractvalue {{ i32, i32, i32, i32 }} %first, 0
  %one = call {{ i32, i32, i32, i32 }} @px_cpuid(i32 1)
  %ecx = extractvalue {{ i32, i32, i32, i32 }} %one, 2
  %high = call {{ i32, i32, i32, i32 }} @px_cpuid(i32 {EXTENDED - (1 << 32)})
  %extended = extractvalue {{ i32, i32, i32, i32 }} %high, 2
{_all_set("%has.v2", "%ecx", second)}
{_all_set("%has.lahf", "%extended", _mask(LEAF_EXTENDED, "sahf"))}
  %v2 = and i1 %has.v2, %has.lahf
{_all_set("%has.v3", "%ecx", third)}
{_all_set("%has.lzcnt", "%extended", _mask(LEAF_EXTENDED, "lzcnt"))}
  %leaf7 = icmp uge i32 %last, 7
  %a = and i1 %v2, %has.v3
  %b = and i1 %has.lzcnt, %leaf7
  %more = and i1 %a, %b
  br i1 %more, label %wide, label %narrow
narrow:
  %low = select i1 %v2, i32 2, i32 1
  ret i32 %low
wide:
  %seven = call {{ i32, i32, i32, i32 }} @px_cpuid(i32 7)
  %ebx = extractvalue {{ i32, i32, i32, i32 }} %seven, 1
  %xcr = call {{ i32, i32 }} {_XGETBV}(i32 0)
  %state = extractvalue {{ i32, i32 }} %xcr, 0
{_all_set("%has.avx2", "%ebx", _mask(LEAF_7, "bmi", "avx2", "bmi2"))}
{_all_set("%ymm", "%state", YMM_STATE)}
  %v3 = and i1 %has.avx2, %ymm
{_all_set("%has.avx512", "%ebx", _signed(fourth))}
{_all_set("%zmm", "%state", ZMM_STATE)}
  %both = and i1 %has.avx512, %zmm
  %v4 = and i1 %v3, %both
  %upper = select i1 %v4, i32 4, i32 3
  %level = select i1 %v3, i32 %upper, i32 2
  ret i32 %level
}}

define internal i32 @px_level() nounwind {{
  %known = load atomic i32, ptr @px_level.known monotonic, align 4
  %is.known = icmp ne i32 %known, 0
  br i1 %is.known, label %done, label %ask
ask:
  %found = call i32 @px_find_level()
  store atomic i32 %found, ptr @px_level.known monotonic, align 4
  ret i32 %found
done:
  ret i32 %known
}}
"""


def _signed(mask: int) -> int:
    return mask - (1 << 32) if mask >> 31 else mask


def x86_table(levels: dict[str, str]) -> list[str]:
    """Symbols by level number 0 to 4: for each the best of `levels` (level -> symbol) that runs there, or `null`."""
    numbered = {X86_LEVELS[level]: symbol for level, symbol in levels.items()}
    table, best = ["null"], "null"
    for number in range(1, 5):
        best = numbered.get(number, best)
        table.append(best)
    return table
