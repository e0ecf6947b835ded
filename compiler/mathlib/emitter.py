"""A numeric notation over arith ops: `Value` carries operators, `Emitter` makes constants and the rest.

The functions of this package are written against these two classes, so a formula reads as a formula:

>>> def square_plus_one(emitter, x):
...     return emitter.fma(x, x, emitter.constant(1.0))

Every op is emitted without fast-math flags: the error-compensating steps must survive the optimiser.
All code is branch free; LLVM's loop vectoriser turns it into packed instructions.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from mlir import ir
from mlir.dialects import arith, math

_PREDICATES_FLOAT = {"oeq": 1, "ogt": 2, "olt": 4, "ole": 5, "uno": 14}
_PREDICATES_INTEGER = {"eq": 0, "slt": 2, "sle": 3, "sgt": 4}


class Format:
    """The constants of one IEEE format that the algorithms need."""

    def __init__(self, bits: int, mantissa: int, code: str) -> None:
        self.bits = bits
        self.mantissa = mantissa
        self.bias = (1 << (bits - mantissa - 2)) - 1
        self.code = code
        self.sign_mask = 1 << (bits - 1)
        self.mantissa_mask = (1 << mantissa) - 1
        # Adding 1.5 * 2**mantissa rounds to the nearest even integer and leaves it in the low bits.
        self.magic = 1.5 * 2.0**mantissa

    def pattern(self, number: float) -> int:
        """The bit pattern of a number: `FORMAT_32.pattern(1.0) == 0x3f800000`."""
        return int.from_bytes(struct.pack("<" + self.code, number), "little")


FORMAT_32 = Format(32, 23, "f")
FORMAT_64 = Format(64, 52, "d")


class Value:
    """One SSA value (float, integer or i1; scalar or vector) with Python operators.

    Plain numbers on the right-hand side become constants: `x * 2.0 + 1.0`.
    """

    __slots__ = ("emitter", "ssa")

    def __init__(self, emitter: Emitter, ssa: ir.Value) -> None:
        self.emitter = emitter
        self.ssa = ssa

    def __add__(self, other: Value | float) -> Value:
        return self._binary(arith.AddFOp, arith.AddIOp, other)

    def __sub__(self, other: Value | float) -> Value:
        return self._binary(arith.SubFOp, arith.SubIOp, other)

    def __mul__(self, other: Value | float) -> Value:
        return self._binary(arith.MulFOp, arith.MulIOp, other)

    def __truediv__(self, other: Value | float) -> Value:
        return self._binary(arith.DivFOp, None, other)

    def __and__(self, other: Value | int) -> Value:
        return self._binary(None, arith.AndIOp, other)

    def __or__(self, other: Value | int) -> Value:
        return self._binary(None, arith.OrIOp, other)

    def __xor__(self, other: Value | int) -> Value:
        return self._binary(None, arith.XOrIOp, other)

    def __lshift__(self, other: int) -> Value:
        return self._binary(None, arith.ShLIOp, other)

    def __rshift__(self, other: int) -> Value:
        """Logical shift: AVX2 has no arithmetic right shift of 64-bit lanes."""
        return self._binary(None, arith.ShRUIOp, other)

    def __neg__(self) -> Value:
        return Value(self.emitter, arith.NegFOp(self.ssa).result)

    def __invert__(self) -> Value:
        return self ^ -1

    def __lt__(self, other: Value | float) -> Value:
        return self._compare("olt", "slt", other)

    def __le__(self, other: Value | float) -> Value:
        return self._compare("ole", "sle", other)

    def __gt__(self, other: Value | float) -> Value:
        return self._compare("ogt", "sgt", other)

    def equals(self, other: Value | float) -> Value:
        """Ordered equality (Python's `==` must keep its meaning for dictionaries)."""
        return self._compare("oeq", "eq", other)

    def is_nan(self) -> Value:
        """True where the float is NaN."""
        return self._compare("uno", None, self)

    def _coerce(self, other: Value | float) -> ir.Value:
        if isinstance(other, Value):
            return other.ssa
        return self.emitter.splat(self.ssa.type, other)

    def _binary(self, float_op: type | None, integer_op: type | None, other: Value | float) -> Value:
        op = float_op if is_float(self.ssa.type) else integer_op
        assert op is not None, "operator does not exist for this element type"
        return Value(self.emitter, op(self.ssa, self._coerce(other)).result)

    def _compare(self, float_name: str, integer_name: str | None, other: Value | float) -> Value:
        right = self._coerce(other)
        if is_float(self.ssa.type):
            return Value(self.emitter, arith.CmpFOp(_PREDICATES_FLOAT[float_name], self.ssa, right).result)
        assert integer_name is not None, "comparison does not exist for integers"
        return Value(self.emitter, arith.CmpIOp(_PREDICATES_INTEGER[integer_name], self.ssa, right).result)


Pair = tuple[Value, Value]
"""An unevaluated sum of a number and its small correction."""


class Emitter:
    """Emits code on values shaped like `float_type` (f32, f64 or a vector of them) at the insertion point.

    `fma` says whether the target has fused multiply-add. Without it every fma becomes a product and a sum
    (LLVM would call libm), and exact products use Dekker's splitting.
    """

    def __init__(self, float_type: ir.Type, *, fma: bool = True) -> None:
        self.type = float_type
        self.has_fma = fma
        self.is_double = isinstance(element_type(float_type), ir.F64Type)
        self.format = FORMAT_64 if self.is_double else FORMAT_32
        self.integer_type = self._like(ir.IntegerType.get_signless(self.format.bits))

    def constant(self, number: float) -> Value:
        """A float constant of this emitter's type."""
        return Value(self, self.splat(self.type, number))

    def integer(self, number: int) -> Value:
        """An integer constant as wide as the float type."""
        return Value(self, self.splat(self.integer_type, number))

    def splat(self, value_type: ir.Type, number: float) -> ir.Value:
        """`arith.constant` of any scalar or vector type."""
        element = element_type(value_type)
        attribute: ir.Attribute
        if is_float(element):
            attribute = ir.FloatAttr.get(element, float(number))
        else:
            # The attribute wants the signed reading of a mask such as 0x80000000.
            width = ir.IntegerType(element).width
            wrapped = (int(number) + (1 << (width - 1))) % (1 << width) - (1 << (width - 1))
            attribute = ir.IntegerAttr.get(element, wrapped)
        if isinstance(value_type, ir.VectorType):
            attribute = ir.DenseElementsAttr.get_splat(value_type, attribute)
        return arith.ConstantOp(value_type, attribute).result

    def fma(self, a: Value, b: Value | float, c: Value | float) -> Value:
        """`a * b + c`, fused where the target can."""
        if not self.has_fma:
            return a * b + c
        right, addend = a._coerce(b), a._coerce(c)
        return Value(self, math.FmaOp(a.ssa, right, addend).result)

    def polynomial(self, x: Value, coefficients: Sequence[float]) -> Value:
        """Horner's scheme; coefficients from the constant term upwards.

        >>> emitter.polynomial(x, (1.0, 2.0, 3.0))  # 1 + 2 x + 3 x**2
        """
        result = self.constant(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            result = self.fma(result, x, coefficient)
        return result

    def split_polynomial(self, x: Value, coefficients: Sequence[float]) -> Value:
        """Even and odd halves by Horner in x**2: half the latency for long polynomials."""
        square = x * x
        even = self.polynomial(square, coefficients[0::2])
        odd = self.polynomial(square, coefficients[1::2])
        return self.fma(odd, x, even)

    def select(self, condition: Value, yes: Value | float, no: Value | float) -> Value:
        """`yes` where the condition holds, else `no`."""
        like = yes.ssa.type if isinstance(yes, Value) else no.ssa.type if isinstance(no, Value) else self.type
        chosen = [item.ssa if isinstance(item, Value) else self.splat(like, item) for item in (yes, no)]
        return Value(self, arith.SelectOp(condition.ssa, *chosen).result)

    def clamp_above(self, x: Value, limit: float) -> Value:
        """min(x, limit) that keeps NaN (one `minps`)."""
        bound = self.constant(limit)
        return self.select(bound < x, bound, x)

    def clamp_below(self, x: Value, limit: float) -> Value:
        """max(x, limit) that keeps NaN (one `maxps`)."""
        bound = self.constant(limit)
        return self.select(bound > x, bound, x)

    def absolute(self, x: Value) -> Value:
        """Clears the sign bit."""
        return Value(self, math.AbsFOp(x.ssa).result)

    def sqrt(self, x: Value) -> Value:
        """The hardware square root."""
        return Value(self, math.SqrtOp(x.ssa).result)

    def round_even(self, x: Value) -> Value:
        """Nearest integer, ties to even."""
        return Value(self, math.RoundEvenOp(x.ssa).result)

    def copysign(self, magnitude: Value, sign: Value) -> Value:
        """|magnitude| with the sign of `sign`."""
        return Value(self, math.CopySignOp(magnitude.ssa, sign.ssa).result)

    def bits(self, x: Value) -> Value:
        """The float's bit pattern as an integer."""
        return Value(self, arith.BitcastOp(self.integer_type, x.ssa).result)

    def from_bits(self, pattern: Value) -> Value:
        """The float with this bit pattern."""
        return Value(self, arith.BitcastOp(self.type, pattern.ssa).result)

    def round_to_integer(self, x: Value) -> tuple[Value, Value]:
        """(nearest integer as a float, the same as an integer) for |x| < 2**(mantissa - 2).

        The magic constant does both, and vectorises where AVX2 has no conversion to 64-bit integers.
        """
        shifted = x + self.format.magic
        whole = self.bits(shifted) - self.format.pattern(self.format.magic)
        return shifted - self.format.magic, whole

    def small_integer_to_float(self, whole: Value) -> Value:
        """An integer of magnitude < 2**(mantissa - 2) as a float, by the magic constant."""
        if not self.is_double:
            return Value(self, arith.SIToFPOp(self.type, whole.ssa).result)
        return self.from_bits(whole + self.format.pattern(self.format.magic)) - self.format.magic

    def power_of_two(self, exponent: Value) -> Value:
        """2**exponent for exponents of normal numbers."""
        return self.from_bits((exponent + self.format.bias) << self.format.mantissa)

    def scale(self, x: Value, exponent: Value) -> Value:
        """x * 2**exponent in two exact steps, so that overflow and denormal results round once."""
        # Biasing first keeps the halved number positive, which makes the logical shift right.
        offset = 1 << 12
        half = ((exponent + offset) >> 1) - (offset >> 1)
        return x * self.power_of_two(half) * self.power_of_two(exponent - half)

    def two_sum(self, a: Value, b: Value) -> Pair:
        """Knuth: a + b as an unevaluated rounded sum and its exact error."""
        total = a + b
        virtual = total - a
        return total, (a - (total - virtual)) + (b - virtual)

    def quick_two_sum(self, a: Value, b: Value) -> Pair:
        """Dekker: the same for |a| >= |b|."""
        total = a + b
        return total, b - (total - a)

    def two_product(self, a: Value, b: Value) -> Pair:
        """a * b as an unevaluated rounded product and its exact error."""
        product = a * b
        if self.has_fma:
            return product, self.fma(a, b, -product)
        a_high, a_low = self._split(a)
        b_high, b_low = self._split(b)
        error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
        return product, error

    def _split(self, x: Value) -> Pair:
        """Veltkamp's splitting on the bit pattern, which cannot overflow: halves of 26 bits in f64.

        Rounding to nearest leaves the low half one bit shorter than cutting would, so that all four
        partial products are exact.
        """
        low_bits = (self.format.mantissa + 1) // 2 + 1
        mask = ((1 << self.format.bits) - 1) & ~((1 << low_bits) - 1)
        high = self.from_bits((self.bits(x) + (1 << (low_bits - 1))) & mask)
        return high, x - high

    def _like(self, element: ir.Type) -> ir.Type:
        if isinstance(self.type, ir.VectorType):
            return ir.VectorType.get(self.type.shape, element, scalable=None)
        return element

    def as_double(self) -> Emitter:
        """The emitter for the same shape in f64."""
        return Emitter(self._like(ir.F64Type.get()), fma=self.has_fma)

    def as_single(self) -> Emitter:
        """The emitter for the same shape in f32."""
        return Emitter(self._like(ir.F32Type.get()), fma=self.has_fma)

    def extend(self, x: Value) -> Value:
        """A narrower float as this emitter's type."""
        return Value(self, arith.ExtFOp(self.type, x.ssa).result)

    def truncate(self, x: Value) -> Value:
        """A wider float rounded to this emitter's type."""
        return Value(self, arith.TruncFOp(self.type, x.ssa).result)

    def narrow_integer(self, x: Value) -> Value:
        """The low bits of a wider integer."""
        return Value(self, arith.TruncIOp(self.integer_type, x.ssa).result)


def element_type(value_type: ir.Type) -> ir.Type:
    """The element of a vector type, or the type itself."""
    return value_type.element_type if isinstance(value_type, ir.VectorType) else value_type


def is_float(value_type: ir.Type) -> bool:
    """True for f16, bf16, f32, f64 and vectors of them."""
    return isinstance(element_type(value_type), ir.F16Type | ir.BF16Type | ir.F32Type | ir.F64Type)
