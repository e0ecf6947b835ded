"""What the workloads with matrix products share: their shapes, the work in them, their operands."""

from __future__ import annotations

from numpy.random import Generator

from benchmarks.harness.workload import Arrays, Call, Case, Sizes, Work

#: rows, columns and depth of the products
SHAPES = {
    "64": (64, 64, 64), "128": (128, 128, 128), "256": (256, 256, 256), "512": (512, 512, 512),
    "1024": (1024, 1024, 1024), "2048": (2048, 2048, 2048), "511x513x257": (511, 513, 257), "100x10x784": (100, 10, 784),
    "128x768x3072": (128, 768, 3072), "128x3072x768": (128, 3072, 768), "16x1024x1024": (16, 1024, 1024),
}


def work(sizes: Sizes) -> Work:
    m, n, k = sizes["m"], sizes["n"], sizes["k"]
    size = 8 if sizes["dtype"] == "float64" else 4
    return Work(flops=2 * m * n * k, bytes=size * (m * k + k * n + m * n), dtype=sizes["dtype"])


def case(name: str, shape: tuple[int, int, int], dtype: str = "float32") -> Case:
    m, n, k = shape
    return Case(name, {"m": m, "n": n, "k": k, "dtype": dtype}, work)


CASES = [*(case(name, shape) for name, shape in SHAPES.items()), case("float64 512", (512, 512, 512), "float64")]
TINY = [case("tiny", (7, 5, 19)), case("tiny float64", (7, 5, 19), "float64")]


def matrices(case: Case, rng: Generator) -> Arrays:
    """The two operands."""
    dtype = case["dtype"]
    return {"a": rng.standard_normal((case["m"], case["k"]), dtype=dtype),
            "b": rng.standard_normal((case["k"], case["n"]), dtype=dtype)}


def bare_product(a: Arrays) -> Call:
    """OpenBLAS into an existing result: what a product without anything around it takes."""
    import numpy as np

    left, right = a["a"], a["b"]
    out = np.empty((left.shape[0], right.shape[1]), left.dtype)
    return lambda: np.dot(left, right, out=out)
