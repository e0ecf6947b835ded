"""Branch-free elementary functions as arith code, for scalars and vectors of f32 and f64.

`compiler/passes/expand_math.py` puts them in place of math ops; docs/accuracy.md states their errors. The polynomials
are fitted by benchmarks/fit_polynomials.py.
"""
