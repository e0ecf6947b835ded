"""Runs the workloads of `benchmarks/workloads` with every candidate and writes what it measured.

    python -m benchmarks.harness --only softmax --peers phalanx,jax --rounds 5 --threads 1,all

Nothing here and in the workloads' top level needs more than NumPy: the same files run in the environment of
Phalanx and in that of its peers. docs/benchmarking.md says what is measured and how.
"""
