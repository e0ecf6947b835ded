"""px-expand-math: accuracy, special values, vectorisation of every function (benchmarks/accuracy.py measures more)."""

from __future__ import annotations

import re

import numpy as np
import pytest
from mlir import ir

from benchmarks.accuracy import LIMITS, measure, samples
from benchmarks.math_harness import MathFunction
from benchmarks.math_references import FUNCTIONS, reference, ulps
from phalanx.compiler.context import context
from phalanx.compiler.passes.expand_math import EXPANSIONS, expand_math
from phalanx.compiler.pipeline.run import run
from phalanx.compiler.targets.cpu import llvm_pipeline

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

INF, NAN = np.inf, np.nan
LARGEST_32, LARGEST_64 = 3.4028234663852886e38, 1.7976931348623157e308


def test_every_expansion_is_measured() -> None:
    assert {f"math.{name}" for name in FUNCTIONS} == set(EXPANSIONS)
    assert set(LIMITS) == set(FUNCTIONS)


@pytest.mark.parametrize("element", ["f32", "f64"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_error_and_special_values(function: str, element: str) -> None:
    count = 300 if function in ("erf", "erfc") and element == "f64" else 20_000
    largest, _, where = measure(function, element, count)
    assert largest <= LIMITS[function][element == "f64"], f"{function}({where})"


@pytest.mark.parametrize("element", ["f32", "f64"])
@pytest.mark.parametrize("function", ["exp", "log1p", "tanh", "sin", "powf", "cbrt", "erf"])
def test_without_fused_multiply_add(function: str, element: str) -> None:
    count = 300 if function == "erf" and element == "f64" else 20_000
    largest, _, where = measure(function, element, count, fma=False)
    assert largest <= LIMITS[function][element == "f64"] + 0.5, f"{function}({where})"


def values(function: str, element: str, *operands: list[float]) -> list[float]:
    return MathFunction(function, element)(*(np.array(operand) for operand in operands)).tolist()


def test_exp_reaches_denormals_and_the_largest_number() -> None:
    assert values("exp", "f32", [-103.0, -104.0, 88.72283, 88.7229, -0.0]) == [
        1.401298464324817e-45, 0.0, float(np.exp(np.float64(np.float32(88.72283))).astype(np.float32)), INF, 1.0,
    ]  # fmt: skip
    assert values("exp", "f64", [-745.13, -745.2, 709.79]) == [5e-324, 0.0, INF]


@pytest.mark.parametrize("element", ["f32", "f64"])
def test_signs_of_zero(element: str) -> None:
    for function in ("expm1", "log1p", "tanh", "sinh", "asinh", "atanh", "sin", "tan", "asin", "atan", "cbrt", "erf"):
        got = MathFunction(function, element)(np.array([-0.0, 0.0]))
        assert np.signbit(got).tolist() == [True, False], function
        assert got.tolist() == [0.0, 0.0], function


@pytest.mark.parametrize("element", ["f32", "f64"])
def test_edges_of_domains(element: str) -> None:
    expected = {
        "log": ([0.0, -0.0, -1.0, INF, -INF], [-INF, -INF, NAN, INF, NAN]),
        "log1p": ([-1.0, -1.5, INF, -INF], [-INF, NAN, INF, NAN]),
        "sin": ([INF, -INF], [NAN, NAN]),
        "cos": ([INF, -INF, 0.0], [NAN, NAN, 1.0]),
        "asin": ([1.0000001, -2.0, INF], [NAN, NAN, NAN]),
        "acos": ([1.0, 1.5], [0.0, NAN]),
        "acosh": ([1.0, 0.5, -INF, INF], [0.0, NAN, NAN, INF]),
        "atanh": ([1.0, -1.0, 1.5], [INF, -INF, NAN]),
        "rsqrt": ([0.0, INF, -1.0], [INF, 0.0, NAN]),
        "erfc": ([INF, -INF, 0.0], [0.0, 2.0, 1.0]),
        "exp2": ([3.0, -1.0, 0.0], [8.0, 0.5, 1.0]),
        "log2": ([8.0, 0.125, 1.0], [3.0, -3.0, 0.0]),
    }
    for function, (operands, results) in expected.items():
        np.testing.assert_array_equal(values(function, element, operands), results, function)


@pytest.mark.parametrize("element", ["f32", "f64"])
def test_special_cases_of_power(element: str) -> None:
    cases = [
        (NAN, 0.0, 1.0), (1.0, NAN, 1.0), (-1.0, INF, 1.0), (-1.0, -INF, 1.0), (0.0, -1.0, INF), (-0.0, -1.0, -INF),
        (-0.0, -2.0, INF), (-0.0, 3.0, -0.0), (-2.0, 3.0, -8.0), (-2.0, 0.5, NAN), (-INF, 3.0, -INF), (-INF, 0.5, INF),
        (-INF, -3.0, -0.0), (0.5, INF, 0.0), (2.0, -INF, 0.0), (2.0, INF, INF), (NAN, 1.0, NAN), (2.0, NAN, NAN),
        (0.0, 5e-30, 0.0), (2.0, 10.0, 1024.0), (10.0, 2.0, 100.0),
    ]  # fmt: skip
    got = values("powf", element, [x for x, _, _ in cases], [y for _, y, _ in cases])
    for (x, y, want), result in zip(cases, got, strict=True):
        np.testing.assert_array_equal(result, want, f"{x} ** {y}")
        assert np.isnan(want) or np.signbit(result) == np.signbit(want), (x, y)


def test_angles_of_huge_arguments() -> None:
    # The f64 nearest to a multiple of pi / 2 (Kahan): every bit of 1 / pi counts.
    hard = 6381956970095103.0 * 2.0**797
    assert values("cos", "f64", [hard]) == [-4.687165924254627611e-19]
    numbers = np.array([LARGEST_32, 1e30, 16367173 * 2.0**72, 1e5, 33000.0], np.float32)
    exact = reference("sin", "f32", numbers)
    assert ulps(MathFunction("sin", "f32")(numbers), exact).max() < 1.6
    largest = np.array([LARGEST_64])
    assert ulps(MathFunction("tan", "f64")(largest), reference("tan", "f64", largest)).max() < 2.5


@pytest.mark.parametrize("element", ["f16", "bf16"])
def test_half_precision_rounds_the_f32_result(element: str) -> None:
    numbers = np.linspace(-4, 4, 257).astype(np.float16)
    if element == "f16":
        got = MathFunction("exp", "f16")(numbers)
        np.testing.assert_array_equal(got, np.exp(numbers.astype(np.float64)).astype(np.float16))
        return
    patterns = (numbers.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    exact = np.exp((patterns.astype(np.uint32) << 16).view(np.float32).astype(np.float64)).astype(np.float32)
    bits = exact.view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    np.testing.assert_array_equal(MathFunction("exp", "bf16")(patterns), rounded)


def calls(assembly: str) -> list[str]:
    return re.findall(r"\b(?:callq?|jmp)\s+\*?([a-z_]\w*)", assembly)


@pytest.mark.parametrize("element", ["f32", "f64"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_loops_become_packed_instructions(function: str, element: str) -> None:
    assembly = MathFunction(function, element, level="x86-64-v3").assembly
    assert calls(assembly) == []
    packed = len(re.findall(r"\bv(?:mul|add|sub|fn?m\w+|div|sqrt)\w*p[sd]\s.*%ymm", assembly))
    assert packed >= 2, function


def test_libm_is_called_without_the_pass() -> None:
    assert "expf" in "".join(calls(MathFunction("exp", "f32", rewrite=lambda module: None).assembly))


def test_fused_multiply_add_without_the_instruction_gives_its_bits() -> None:
    random = np.random.default_rng(7)
    bits = [random.integers(0, 1 << 32, 400_000, dtype=np.uint32).view(np.float32) for _ in range(3)]
    near = [random.standard_normal(400_000).astype(np.float32) for _ in range(3)]
    cancelling = [near[0], near[1], -(near[0] * near[1])]
    # Products of 24 + 1 bits plus something tiny: sums that lie just beside the middle of two numbers.
    halves = (1 + random.integers(0, 1 << 12, 400_000) / np.float64(1 << 12)).astype(np.float32)
    tiny = np.ldexp(random.choice([-1.0, 1.0], 400_000), random.integers(-149, -60, 400_000)).astype(np.float32)
    special = np.array([0.0, -0.0, INF, -INF, NAN, 1.0, -1.0, LARGEST_32, 1e-45, -1e-45, 1.1754944e-38], np.float32)
    grid = [axis.ravel() for axis in np.meshgrid(special, special, special)]
    fused, plain = MathFunction("fma", "f32"), MathFunction("fma", "f32", fma=False)
    for operands in (bits, near, cancelling, [halves, halves[::-1].copy(), tiny], grid):
        expected, actual = fused(*operands), plain(*operands)
        both_nan = np.isnan(expected) & np.isnan(actual)
        np.testing.assert_array_equal(np.where(both_nan, 0, expected.view(np.uint32)),
                                      np.where(both_nan, 0, actual.view(np.uint32)))


def test_baseline_without_fma_calls_nothing() -> None:
    for function in ("exp", "log", "tanh", "erf", "sin"):
        assembly = MathFunction(function, "f32", level="x86-64-v2", fma=False).assembly
        assert calls(assembly) == [], function
        assert "mulps" in assembly


@pytest.mark.parametrize("kind", ["vector<8xf32>", "vector<4xf64>", "vector<2x4xf64>", "vector<8xf16>"])
def test_vectors_lower_to_llvm(kind: str) -> None:
    with context():
        for name in EXPANSIONS:
            operands = "%x, %y" if name in ("math.powf", "math.atan2") else "%x"
            module = ir.Module.parse(
                f"func.func @f(%x: {kind}, %y: {kind}) -> {kind} {{\n"
                f"  %r = {name} {operands} : {kind}\n  return %r : {kind}\n}}"
            )
            expand_math(module)
            module.operation.verify()
            assert name + " " not in str(module)
            run(module, ",".join(step for step, _ in llvm_pipeline(openmp=False)), reproducer=False)
            assert "unrealized" not in str(module), name


def test_locations_are_kept() -> None:
    with context():
        module = ir.Module.parse(
            'func.func @f(%x: f64) -> f64 {\n%r = math.sin %x : f64 loc("model.py":7:3)\nreturn %r : f64\n}'
        )
        expand_math(module)
        body = module.body.operations[1].regions[0].blocks[0]
        assert {str(operation.location) for operation in list(body.operations)[:-1]} == {'loc("model.py":7:3)'}


def test_results_do_not_depend_on_the_position_in_the_array() -> None:
    # The remainder loop must compute what the packed loop computes.
    operands = samples("tanh", "f32", 37)[0]
    compiled = MathFunction("tanh", "f32")
    whole = compiled(operands)
    alone = np.concatenate([compiled(operands[i : i + 1]) for i in range(operands.size)])
    np.testing.assert_array_equal(whole, alone)
