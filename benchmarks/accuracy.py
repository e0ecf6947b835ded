"""Measures the error of every math function: `python benchmarks/accuracy.py [--write] [name ...]`.

Prints the largest error in ulp over dense samples, random bit patterns and special values, and the time
per element of a loop over 4096 numbers. `--write` puts the table into docs/accuracy.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # a checkout that is not installed
    sys.path.insert(0, str(ROOT))

from benchmarks.math_harness import MathFunction  # noqa: E402
from benchmarks.math_references import FUNCTIONS, SLOW_IN_DOUBLE, reference, ulps  # noqa: E402
from phalanx.compiler.targets.isa import host  # noqa: E402

Array = np.ndarray[Any, Any]

# Largest errors we promise (the unit tests hold them): function -> (f32, f64), in ulp.
LIMITS = {
    "exp": (1.1, 1.1), "exp2": (1.5, 1.5), "expm1": (1.5, 1.5), "log": (1.0, 1.0), "log2": (2.0, 1.0),
    "log10": (2.0, 1.0), "log1p": (1.5, 1.5), "tanh": (1.5, 1.5), "sinh": (0.51, 2.5), "cosh": (0.51, 2.0),
    "asinh": (0.51, 2.0), "acosh": (0.51, 2.5), "atanh": (0.51, 2.0), "sin": (1.6, 1.0), "cos": (1.6, 1.0),
    "tan": (0.51, 2.5), "asin": (0.51, 2.0), "acos": (0.51, 1.5), "atan": (0.51, 2.0), "atan2": (0.51, 2.0),
    "powf": (0.51, 1.6), "cbrt": (0.51, 0.51), "rsqrt": (1.5, 1.5), "erf": (1.5, 1.5), "erfc": (0.51, 4.5),
}  # fmt: skip
# Where the function bends, for the dense samples.
_RANGES = {
    "exp": (-104, 89), "exp2": (-150, 128), "expm1": (-40, 89), "log": (1e-3, 10), "log2": (1e-3, 10),
    "log10": (1e-3, 10), "log1p": (-1, 3), "tanh": (-20, 20), "sinh": (-30, 30), "cosh": (-30, 30),
    "asinh": (-10, 10), "acosh": (1, 10), "atanh": (-1, 1), "sin": (-200, 200), "cos": (-200, 200),
    "tan": (-200, 200), "asin": (-1, 1), "acos": (-1, 1), "atan": (-10, 10), "cbrt": (-10, 10),
    "rsqrt": (0, 10), "erf": (-6, 6), "erfc": (-6, 28),
}  # fmt: skip
_SPECIAL = (
    0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 8.0, 1e-8, -1e-8, 1e-17,
    1e-40, 1e-45, -1e-45, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1e300, -1e300,
    3.4028234e38, -3.4028234e38, 88.72283, 88.72284, -87.34, -103.97, -104.0, 709.782712893384,
    709.7827128933841, -745.13, -745.2, 710.4758600739439, 1024.0, 1023.9999, 127.9999, -149.0, -1074.0,
    -1075.0, 2.5, -2.5, 1e22, 6381956970095103.0 * 2.0**797, 9007199254740993.0, 4503599627370497.0,
)  # fmt: skip


def samples(function: str, element: str, count: int, seed: int = 0) -> tuple[Array, ...]:
    """Operands: special values (all pairs where there are two), the interesting range, random bit patterns."""
    generator = np.random.default_rng(seed)
    kind = np.float32 if element == "f32" else np.float64
    special = np.array(_SPECIAL).astype(kind)
    patterns = generator.integers(0, 1 << (32 if element == "f32" else 64), (2, count), dtype=np.uint64)
    noise = patterns.astype(np.uint32 if element == "f32" else np.uint64).view(kind)
    if function == "powf":
        left, right = (grid.ravel() for grid in np.meshgrid(special, special))
        near_one = 1 + generator.normal(size=count) * 1e-4
        bases = [generator.uniform(0, 10, count), np.exp(generator.uniform(-30, 30, count)), near_one,
                 generator.integers(-9, 9, count)]  # fmt: skip
        powers = [generator.uniform(-5, 5, count), generator.uniform(-20, 20, count),
                  generator.uniform(-1e6, 1e6, count), generator.integers(-20, 20, count)]  # fmt: skip
        return (np.concatenate([left, *bases, noise[0]]).astype(kind),
                np.concatenate([right, *powers, noise[1]]).astype(kind))  # fmt: skip
    if function == "atan2":
        left, right = (grid.ravel() for grid in np.meshgrid(special, special))
        planes = generator.normal(size=(2, count))
        return tuple(
            np.concatenate([edge, plane, pattern]).astype(kind)
            for edge, plane, pattern in zip((left, right), planes, noise, strict=True)
        )
    low, high = _RANGES[function]
    dense = np.linspace(low, high, count)
    small = dense * generator.random(count)
    scales = np.exp(generator.uniform(-40, 7, count)) * generator.choice([-1, 1], count)
    return (np.concatenate([special, dense, small, scales, noise[0]]).astype(kind),)


def measure(function: str, element: str, count: int, *, fma: bool = True) -> tuple[float, float, str]:
    """(largest error in ulp, mean error, where) of one function, specials included."""
    if element == "f64" and function in SLOW_IN_DOUBLE:
        count = min(count, 2000)
    with np.errstate(all="ignore"):
        operands = samples(function, element, count)
        got = MathFunction(function, element, fma=fma)(*operands)
        exact = reference(function, element, *operands)
        error = ulps(got, exact)
        rounded = exact.astype(got.dtype)
    wrong_sign = (np.signbit(got) != np.signbit(rounded)) & ~np.isnan(rounded)
    error = np.where(wrong_sign, np.inf, error)
    worst = int(np.argmax(error))
    return float(error[worst]), float(error.mean()), ", ".join(repr(float(x[worst])) for x in operands)


def time_per_element(function: str, element: str) -> float:
    """Nanoseconds per element on 4096 numbers of the interesting range."""
    low, high = _RANGES.get(function, (0.5, 4.0))
    numbers = np.linspace(low, high, 4096)
    compiled = MathFunction(function, element, fma=True)
    return compiled.nanoseconds(*([numbers] * compiled.operands))


def table(functions: list[str], count: int) -> list[str]:
    """Rows of the Markdown table, printed as they come."""
    columns = "max ulp | mean | without FMA | ns/element"
    rows = [f"| function | f32 {columns} | f64 {columns} |", "|---" * 9 + "|"]
    for function in functions:
        cells = [function]
        for element in ("f32", "f64"):
            largest, mean, _ = measure(function, element, count)
            unfused, _, _ = measure(function, element, count, fma=False)
            cells += [f"{largest:.2f}", f"{mean:.2f}", f"{unfused:.2f}", f"{time_per_element(function, element):.2f}"]
        rows.append("| " + " | ".join(cells) + " |")
        sys.stdout.write(rows[-1] + "\n")
        sys.stdout.flush()
    return rows


def write(rows: list[str], path: Path) -> None:
    """Replace the part of docs/accuracy.md between its two markers."""
    begin, end = "<!-- table -->\n", "<!-- end of table -->"
    text = path.read_text()
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    machine = f"Processor: {host().cpu}, {host().vector_bits}-bit vectors.\n\n"
    path.write_text(head + begin + machine + "\n".join(rows) + "\n" + end + tail)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help="functions (default: all)")
    parser.add_argument("--count", type=int, default=200_000, help="numbers per kind of sample")
    parser.add_argument("--write", action="store_true", help="update docs/accuracy.md")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(FUNCTIONS)
    if unknown:
        parser.error(f"unknown function {', '.join(sorted(unknown))}; known: {', '.join(FUNCTIONS)}")
    rows = table(arguments.names or list(FUNCTIONS), arguments.count)
    if arguments.write:
        write(rows, ROOT / "docs" / "accuracy.md")


if __name__ == "__main__":
    main()
