"""What the tests of whole programs share: one function run every way there is, compared with a reference."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optree

import phalanx as px

Array = np.ndarray[Any, Any]


def leaves(tree: Any) -> list[Array]:
    return [np.asarray(leaf) for leaf in optree.tree_leaves(tree)]


def close(found: Any, expected: Any, tolerance: float, what: str) -> None:
    """Leaf by leaf: shape, and values to a tolerance relative to the largest of the leaf."""
    for one, other in zip(leaves(found), leaves(expected), strict=True):
        assert one.shape == other.shape, f"{what}: {one.shape} for {other.shape}"
        finite = np.abs(other[np.isfinite(other)]) if other.dtype.kind == "f" else np.abs(other.astype(np.float64))
        scale = float(max(finite.max(initial=0.0), 1e-30)) if tolerance else 0.0
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale, err_msg=what)


def agree(function: Callable[..., Any], arguments: Sequence[Any], expected: Any = None, *, tolerance: float = 2e-5,
          eager: bool = True) -> Any:
    """Compiled on one and on all threads, the evaluator on NumPy, and operation by operation, against a reference.

    Without a reference the evaluator is it. Returns what the compiled function gave.
    """
    with px.options(compiler="evaluator"), px.use_backend("numpy"):
        evaluated = px.jit(function)(*arguments)
    expected = evaluated if expected is None else expected
    compiled = px.jit(function)(*arguments)
    close(compiled, expected, tolerance, "compiled")
    close(evaluated, expected, tolerance, "evaluator")
    with px.options(num_threads=1):
        for one, other in zip(leaves(px.jit(function)(*arguments)), leaves(compiled), strict=True):
            np.testing.assert_array_equal(one, other, err_msg="one thread and all of them differ")
    if eager:
        close(function(*(px.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments)), expected, tolerance,
              "operation by operation")
    return compiled


def check(function: Callable[..., Any], arguments: Sequence[Any], expected: Any, tolerance: float = 1e-4) -> None:
    """`agree` for programs with loops, which are not run operation by operation."""
    agree(function, arguments, expected, tolerance=tolerance, eager=False)


def slopes(function: Callable[..., Any], arguments: Sequence[Array], *, step: float = 1e-6,
           tolerance: float = 1e-5, seed: int = 0) -> None:
    """Gradients of a scalar function of float64 arrays against differences, each along one random direction."""
    generator = np.random.default_rng(seed)
    positions = tuple(range(len(arguments)))
    gradients = px.jit(px.grad(function, argnums=positions))(*arguments)
    compiled = px.jit(function)
    for position, gradient in zip(positions, gradients, strict=True):
        direction = generator.normal(size=arguments[position].shape)
        ends = []
        for sign in (1.0, -1.0):
            moved = list(arguments)
            moved[position] = arguments[position] + sign * step * direction
            ends.append(float(np.asarray(compiled(*moved))))
        difference = (ends[0] - ends[1]) / (2 * step)
        found = float(np.sum(np.asarray(gradient) * direction))
        assert abs(found - difference) <= tolerance * max(1.0, abs(difference)), f"argument {position}: {found} {difference}"


def exported(function: Callable[..., Any], arguments: Sequence[Array], folder: Path, *, tolerance: float = 2e-5) -> None:
    """The function as a library, called through `px.load`, against the compiled one; its header is C."""
    path = folder / "program.so"
    px.export(function, path, *arguments, name="program")
    expected = px.jit(function)(*arguments)
    close(px.load(path)(*arguments), expected, tolerance, "exported")
    subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-x", "c",
                    path.with_suffix(".h")], check=True, capture_output=True, text=True)
    assert ctypes.CDLL(str(path)).program_status_text
