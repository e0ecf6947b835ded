"""Conversions of 16-bit floats that code generation turns into calls of compiler helper functions.

Where a processor has no instruction for a conversion LLVM calls `__truncsfbf2` and its kin, which live in
libgcc or compiler-rt: a JIT session or an exported library cannot count on either. The bodies are linked into
exported modules that handle such types, and code compiled here that calls one is joined with an object of them.
They are bit exact: f64 is first rounded to odd in f32, which makes the second rounding correct (Boldo and
Melquiond 2008: it needs p + 2 bits, and 24 >= 11 + 2).
"""

from __future__ import annotations

import functools
import re

from phalanx.compiler.targets import machines
from phalanx.compiler.targets.isa import Isa
from phalanx.compiler.targets.llvm_c import LlvmModule, parse

HELPERS = frozenset({"__truncsfhf2", "__truncdfhf2", "__extendhfsf2", "__truncsfbf2", "__truncdfbf2"})

_HALF_TYPE = re.compile(r"\b(half|bfloat)\b")

# 1199570944 = 0x47800000 = 65536.0f, 947912704 = 0x38800000 = 2^-14 (smallest normal half),
# 939520000 = 0x38000000 - 0xfff: moves the exponent bias from 127 to 15 and rounds, 1056964608 = 0.5f.
_TEXT = """
declare double @llvm.fabs.f64(double)

define internal float @px_round_to_odd(double %x) nounwind alwaysinline {
  %nearest = fptrunc double %x to float
  %bits = bitcast float %nearest to i32
  %back = fpext float %nearest to double
  %inexact = fcmp one double %back, %x
  %magnitude = call double @llvm.fabs.f64(double %x)
  %back.magnitude = call double @llvm.fabs.f64(double %back)
  %away = fcmp ogt double %back.magnitude, %magnitude
  %below = sub i32 %bits, 1
  %truncated = select i1 %away, i32 %below, i32 %bits
  %odd = or i32 %truncated, 1
  %chosen = select i1 %inexact, i32 %odd, i32 %bits
  %result = bitcast i32 %chosen to float
  ret float %result
}

define internal bfloat @px_to_bfloat(float %x) nounwind alwaysinline {
  %bits = bitcast float %x to i32
  %high = lshr i32 %bits, 16
  %parity = and i32 %high, 1
  %bias = add i32 %parity, 32767
  %sum = add i32 %bits, %bias
  %rounded = lshr i32 %sum, 16
  %is.nan = fcmp uno float %x, %x
  %quiet = or i32 %high, 64
  %chosen = select i1 %is.nan, i32 %quiet, i32 %rounded
  %short = trunc i32 %chosen to i16
  %result = bitcast i16 %short to bfloat
  ret bfloat %result
}

define internal half @px_to_half(float %x) nounwind alwaysinline {
  %bits = bitcast float %x to i32
  %sign = and i32 %bits, -2147483648
  %magnitude = xor i32 %bits, %sign
  %too.large = icmp uge i32 %magnitude, 1199570944
  %is.nan = icmp ugt i32 %magnitude, 2139095040
  %payload.shifted = lshr i32 %magnitude, 13
  %payload = and i32 %payload.shifted, 1023
  %nan = or i32 %payload, 32256
  %special = select i1 %is.nan, i32 %nan, i32 31744
  %is.small = icmp ult i32 %magnitude, 947912704
  %value = bitcast i32 %magnitude to float
  %aligned = fadd float %value, 0.5
  %aligned.bits = bitcast float %aligned to i32
  %denormal = sub i32 %aligned.bits, 1056964608
  %parity = and i32 %payload.shifted, 1
  %rebased = sub i32 %magnitude, 939520001
  %tie = add i32 %rebased, %parity
  %normal = lshr i32 %tie, 13
  %finite = select i1 %is.small, i32 %denormal, i32 %normal
  %unsigned = select i1 %too.large, i32 %special, i32 %finite
  %sign.half = lshr i32 %sign, 16
  %signed = or i32 %unsigned, %sign.half
  %short = trunc i32 %signed to i16
  %result = bitcast i16 %short to half
  ret half %result
}

define hidden half @__truncsfhf2(float %x) nounwind {
  %result = call half @px_to_half(float %x)
  ret half %result
}

define hidden half @__truncdfhf2(double %x) nounwind {
  %odd = call float @px_round_to_odd(double %x)
  %result = call half @px_to_half(float %odd)
  ret half %result
}

define hidden bfloat @__truncsfbf2(float %x) nounwind {
  %result = call bfloat @px_to_bfloat(float %x)
  ret bfloat %result
}

define hidden bfloat @__truncdfbf2(double %x) nounwind {
  %odd = call float @px_round_to_odd(double %x)
  %result = call bfloat @px_to_bfloat(float %odd)
  ret bfloat %result
}

define hidden float @__extendhfsf2(half %x) nounwind {
  %short = bitcast half %x to i16
  %wide = zext i16 %short to i32
  %magnitude = and i32 %wide, 32767
  %shifted = shl i32 %magnitude, 13
  %tiny = bitcast i32 %shifted to float
  %scaled = fmul float %tiny, 0x46F0000000000000
  %scaled.bits = bitcast float %scaled to i32
  %special = or i32 %scaled.bits, 2139095040
  %is.special = icmp uge i32 %magnitude, 31744
  %unsigned = select i1 %is.special, i32 %special, i32 %scaled.bits
  %sign.half = and i32 %wide, 32768
  %sign = shl i32 %sign.half, 16
  %signed = or i32 %unsigned, %sign
  %is.nan = icmp ugt i32 %magnitude, 31744
  %quiet = or i32 %signed, 4194304
  %chosen = select i1 %is.nan, i32 %quiet, i32 %signed
  %result = bitcast i32 %chosen to float
  ret float %result
}
"""

# Code generation makes the calls after all IR passes ran, so nothing seems to use the bodies until then.
_USED = (
    f"@llvm.compiler.used = appending global [{len(HELPERS)} x ptr] ["
    + ", ".join(f"ptr @{name}" for name in sorted(HELPERS))
    + '], section "llvm.metadata"\n'
)


def link_helpers(module: LlvmModule) -> bool:
    """Link the conversion helpers into `module` when it handles f16 or bf16; say whether it did."""
    if not mentioned(str(module)):
        return False
    module.link(_TEXT + _USED, "half")
    return True


def mentioned(text: str) -> bool:
    """Whether LLVM IR handles f16 or bf16.

    >>> mentioned("define half @f(half %x)")
    True
    """
    return _HALF_TYPE.search(text) is not None


@functools.lru_cache(maxsize=8)
def helpers_object(isa: Isa) -> bytes:
    """An object with the helpers, for objects that turned out to call some."""
    with machines.borrowed(isa) as machine, parse(_TEXT, "half") as module:
        module.set_target(machine)
        module.add_attributes(isa.function_attributes)
        module.run_passes("always-inline", machine)
        return module.emit_object(machine)
