"""How many operations there are, and how long their definitions are.

    python benchmarks/op_sizes.py
"""

from __future__ import annotations

import inspect
import statistics

import phalanx  # noqa: F401  (fills the registry)
from phalanx.dialects.opdef import COMPOSITES, REGISTRY


def main() -> None:
    """Print counts and medians."""
    lines = sorted((len(inspect.getsource(op).splitlines()), name) for name, op in REGISTRY.items())
    sizes = [count for count, _ in lines]
    print(f"{len(REGISTRY)} primitives, {len(COMPOSITES)} composites")
    print(f"lines per primitive, docstring included: median {statistics.median(sizes):g}, mean "
          f"{statistics.mean(sizes):.0f}, longest {lines[-1][0]} ({lines[-1][1]})")
    differentiable = sum(1 for op in REGISTRY.values() if callable(op.vjp))
    print(f"{differentiable} have a gradient rule (zero rules included)")


if __name__ == "__main__":
    main()
