"""A compile that would end the interpreter becomes an error when it is tried in a child first."""

from __future__ import annotations

import os

import pytest
from mlir import ir

from phalanx.compiler.context import context
from phalanx.compiler.isolation import attempt
from phalanx.compiler.pipeline.run import run
from phalanx.dialects.errors import CompileError

# Loading an i1 from memory is an assertion failure in LLVM 22 (docs/mlir-notes.md): the reason why bools are i8 there.
ABORTS = """
func.func @f(%m: memref<4xi1>, %i: index) -> i1 {
  %0 = memref.load %m[%i] : memref<4xi1>
  return %0 : i1
}
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_an_abort_becomes_an_error_that_names_the_pass():
    with context():
        module = ir.Module.parse(ABORTS)
        with pytest.raises(CompileError) as caught:
            attempt(lambda announce: run(module, "cse,finalize-memref-to-llvm", instruments=[announce]))
    assert caught.value.message == "finalize-memref-to-llvm: ended the process by SIGABRT"
    assert "Assertion" in caught.value.note


def test_nothing_happens_to_what_works():
    seen = []
    attempt(lambda announce: seen.append(1))
    assert not seen, "the work is done in the child"


def test_exceptions_are_left_to_the_real_compile():
    attempt(lambda announce: 1 / 0)
