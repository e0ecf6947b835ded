"""dialects/xla_math.py: erfinv in float32 has the bits that jax 0.10.2 computes on a CPU with FMA."""

from __future__ import annotations

import hashlib
from typing import Any

import array_api_strict
import ml_dtypes
import numpy as np
import pytest
from mlir import ir

from benchmarks.math_harness import MathFunction
from phalanx.dialects import dtypes, xla_math
from phalanx.dialects.builders import Scalars
from phalanx.dialects.kinds import ScalarScope
from phalanx.runtime.backends.namespace import Namespace, NumPyNamespace

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

# sha256 of what jax.lax.erf_inv and jax.random.normal's last step gave for every u that uniform can give.
ERF_INV = "6e5ef9e7bdacc4c08604f733f163e982cc70e42b4eccbdc252224f57d99e10c4"
NORMAL = "9ffa4612027d27822ae3dddd2a30a923607e79184747632c3aa9e72ff0c27bc4"
SPECIAL = np.array([0.0, -0.0, 1, -1, 2, -np.inf, np.nan, 0.5, -0.99999994, 1e-30], np.float32)
EXPECTED = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, np.nan, np.nan, 0.47693628, -3.8325067, 8.862268e-31], np.float32
)


def uniforms() -> np.ndarray[Any, Any]:
    """Every float32 that jax.random.uniform gives between nextafter(-1, 0) and 1."""
    mantissas = np.arange(1 << 23, dtype=np.uint32) | np.uint32(0x3F800000)
    lowest = np.nextafter(np.float32(-1), np.float32(0))
    return np.maximum(lowest, (mantissas.view(np.float32) - np.float32(1)) * (np.float32(1) - lowest) + lowest)


def digest(array: np.ndarray[Any, Any]) -> str:
    assert array.dtype == np.float32
    return hashlib.sha256(array.tobytes()).hexdigest()


def replace_erf(module: ir.Module) -> None:
    """Puts the code of erfinv where the loop has math.erf."""
    found: list[ir.Operation] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        if operation.name == "math.erf":
            found.append(operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    (erf,) = found
    with ir.InsertionPoint(erf), erf.location:
        scope = ScalarScope(Scalars(None), dtypes.float32, dtypes.float32, {})
        result = xla_math.erf_inv_code(scope, erf.operands[0])
    erf.results[0].replace_all_uses_with(result)
    erf.erase()


def test_compiled_code_has_the_bits_of_jax() -> None:
    compiled = MathFunction("erf", "f32", rewrite=replace_erf)
    numbers = uniforms()
    got = compiled(numbers)
    assert digest(got) == ERF_INV
    assert digest(got * np.float32(np.sqrt(2))) == NORMAL
    np.testing.assert_array_equal(compiled(SPECIAL), EXPECTED)
    assert "callq" not in compiled.assembly


def test_arrays_have_the_same_bits() -> None:
    numbers = np.concatenate([uniforms()[:: 1 << 6], SPECIAL])
    compiled = MathFunction("erf", "f32", rewrite=replace_erf)(numbers)
    np.testing.assert_array_equal(xla_math.erf_inv_array(NumPyNamespace(), numbers), compiled)
    strict = Namespace(array_api_strict)
    few = numbers[::97]
    got = xla_math.erf_inv_array(strict, array_api_strict.asarray(few))
    np.testing.assert_array_equal(np.asarray(got), compiled[::97])


def test_fused_multiply_add_rounds_once() -> None:
    # The sum is 2**-70 below the middle of two float32; in float64 it is the middle, which rounds up.
    a = np.array([2.0**-12 * (1 + 2.0**-23)], np.float32)
    b = np.array([2.0**-12 * (1 - 2.0**-23)], np.float32)
    c = np.array([1 + 2.0**-23], np.float32)
    assert np.float32(np.float64(a[0]) * np.float64(b[0]) + np.float64(c[0])) == np.float32(1 + 2.0**-22)
    assert xla_math.ArrayMath(NumPyNamespace(), a).fma(a, b, c)[0] == c[0]
    assert xla_math.ArrayMath(NumPyNamespace(), a).fma(a, b, -c)[0] == -c[0]


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_narrow_floats_are_rounded_float32(kind: Any) -> None:
    numbers = np.linspace(-0.9, 0.9, 31).astype(kind)
    xp = NumPyNamespace()
    got = xla_math.erf_inv_array(xp, numbers)
    np.testing.assert_array_equal(got, xla_math.erf_inv_array(xp, numbers.astype(np.float32)).astype(kind))
