"""What docs/mlir-notes.md says of the LLVM wheels, line by line: a bump of LLVM reports here what changed.

What ends the process is tried in a child. A test that fails because LLVM became kinder is good news: drop the
work-around and the line.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mlir import ir, passmanager

from phalanx.compiler.context import new_context
from phalanx.compiler.pipeline import registry
from phalanx.dialects.irdl_emit import file_text

ROOT = Path(__file__).resolve().parents[2]
NOTES = (ROOT / "docs" / "mlir-notes.md").read_text(encoding="utf-8")
OPT = registry.find_tool("mlir-opt")

TWO_EQUAL = """func.func @f(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %0 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %1 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %unused = "px.exp"(%1) : (tensor<4xf32>) -> tensor<4xf32>
  return %0, %1 : tensor<4xf32>, tensor<4xf32>
}"""


def in_child(code: str) -> subprocess.CompletedProcess[str]:
    """Run code that may not survive, with an MLIR context of ours at hand."""
    prelude = ("from mlir import ir, passmanager\nfrom phalanx.compiler.context import new_context\n"
               "context = new_context()\n")
    return subprocess.run([sys.executable, "-c", prelude + code], cwd=ROOT, capture_output=True, text=True, check=False)


def optimised(text: str, pipeline: str) -> str:
    with new_context():
        module = ir.Module.parse(text)
        passmanager.PassManager.parse(f"builtin.module({pipeline})").run(module.operation)
        return str(module)


def test_every_row_names_its_guard():
    rows = [line for line in NOTES.splitlines() if line.startswith("| ") and not line.startswith(("| fact", "|--"))]
    names = {name for row in rows for name in re.findall(r"`(test_\w+)`", row)}
    assert len(rows) >= 15
    assert all("`test_" in row for row in rows)
    here = Path(__file__).read_text(encoding="utf-8")
    elsewhere = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "test" / "unit").glob("test_*.py"))
    assert all(f"def {name}(" in here + elsewhere for name in names)


def test_the_class_language_of_newer_bindings_is_absent():
    assert importlib.util.find_spec("mlir.dialects.ext") is None


def test_there_is_no_conversion_target():
    from mlir import rewrite

    assert not hasattr(rewrite, "ConversionTarget")
    assert not hasattr(rewrite, "TypeConverter")


def test_cse_and_canonicalize_leave_px_ops_alone():
    assert optimised(TWO_EQUAL, "canonicalize,cse,canonicalize").count("px.exp") == 3


def test_px_ops_print_in_generic_form():
    with new_context():
        assert '"px.exp"(%arg0) : (tensor<4xf32>) -> tensor<4xf32>' in str(ir.Module.parse(TWO_EQUAL))


IRDL = """irdl.dialect @toy {
  irdl.operation @same {
    %t = irdl.any
    irdl.operands(a: %t, b: %t)
    irdl.results(r: %t)
  }
  irdl.operation @many {
    %t = irdl.any
    irdl.operands(a: variadic %t)
  }
}"""


def toy(body: str) -> str:
    return (f"from mlir.dialects import irdl\nwith context, ir.Location.unknown():\n"
            f"    irdl.load_dialects(ir.Module.parse('''{IRDL}'''))\n"
            f"    print(ir.Module.parse('''{body}''').operation.verify())\n")


def test_one_irdl_constraint_on_two_fields_means_equal_types():
    text = 'func.func @f(%x: i32, %y: {}) {{ %0 = "toy.same"(%x, %y) : (i32, {}) -> i32 return }}'
    assert "True" in in_child(toy(text.format("i32", "i32"))).stdout
    assert "expected 'i32' but got 'f32'" in in_child(toy(text.format("f32", "f32"))).stderr


def test_the_values_of_an_irdl_variadic_have_one_type():
    text = 'func.func @f(%x: i32, %y: {}) {{ "toy.many"(%x, %y) : (i32, {}) -> () return }}'
    assert "True" in in_child(toy(text.format("i32", "i32"))).stdout
    assert in_child(toy(text.format("f32", "f32"))).returncode != 0


def test_a_px_op_cannot_end_a_block():
    text = """func.func @f(%c: i1, %x: tensor<4xf32>) -> tensor<4xf32> {
      %0 = scf.if %c -> tensor<4xf32> { scf.yield %x : tensor<4xf32> }
           else { %1 = "px.exp"(%x) : (tensor<4xf32>) -> tensor<4xf32> }
      return %0 : tensor<4xf32>
    }"""
    with new_context(), pytest.raises(ir.MLIRError):
        ir.Module.parse(text)


def test_memory_of_i1_ends_the_process():
    code = """
with context:
    module = ir.Module.parse('''func.func @f(%m: memref<4xi1>, %i: index) -> i1 {
      %0 = memref.load %m[%i] : memref<4xi1>
      return %0 : i1
    }''')
    passmanager.PassManager.parse("builtin.module(finalize-memref-to-llvm)").run(module.operation)
    print("survived")
"""
    done = in_child(code)
    assert done.returncode < 0
    assert "survived" not in done.stdout
    assert in_child(code.replace("i1", "i8")).stdout == "survived\n"


def test_an_operation_destroyed_before_its_users_ends_the_process():
    done = in_child("""
with context:
    module = ir.Module.parse('func.func @f(%x: i32) -> i32 { %0 = arith.addi %x, %x : i32 return %0 : i32 }')
    module.body.operations[0].regions[0].blocks[0].operations[0].erase()
    print("survived")
""")
    assert done.returncode < 0
    assert "destroyed but still has uses" in done.stderr
    assert "survived" not in done.stdout


def test_a_context_that_is_entered_and_never_left_ends_the_process():
    done = in_child("context.__enter__()\nprint('done', flush=True)\n")
    assert done.stdout == "done\n"
    assert done.returncode < 0


def test_python_passes_run_but_have_no_name_in_pipelines():
    seen = []
    with new_context():
        module = ir.Module.parse(TWO_EQUAL)
        manager = passmanager.PassManager("builtin.module")
        manager.add(lambda operation, _: seen.append(operation.name), name="Mine", argument="mine")
        manager.run(module.operation)
        assert seen == ["builtin.module"]
        with pytest.raises(ValueError, match="mine"):
            passmanager.PassManager.parse("builtin.module(mine)")


def test_an_exception_in_a_python_pass_comes_out_as_it_is():
    def fails(operation, _):
        raise KeyError("mine")

    with new_context():
        module = ir.Module.parse(TWO_EQUAL)
        manager = passmanager.PassManager("builtin.module")
        manager.add(fails, name="Fails", argument="fails")
        with pytest.raises(KeyError, match="mine"):
            manager.run(module.operation)


def test_op_views_are_found_through_the_search_prefix():
    with new_context():
        module = ir.Module.parse(TWO_EQUAL)
        block = module.body.operations[0].regions[0].blocks[0]
        view = block.operations[0]
        assert type(view).__name__ == "exp_op"
        assert view.x == block.arguments[0]


def test_the_polynomial_approximation_of_math_is_absent():
    with new_context(), pytest.raises(ValueError, match="math-polynomial-approximation"):
        passmanager.PassManager.parse("builtin.module(math-polynomial-approximation)")


def test_printing_ir_after_passes_needs_a_single_thread(tmp_path):
    with new_context():  # our contexts have MLIR's threads off
        module = ir.Module.parse(TWO_EQUAL)
        manager = passmanager.PassManager.parse("builtin.module(canonicalize)")
        manager.enable_ir_printing(tree_printing_dir_path=str(tmp_path))
        manager.run(module.operation)
    assert list(tmp_path.rglob("*.mlir"))


def test_unsigned_integers_are_kept_by_tensor_types():
    with new_context():
        assert str(ir.Type.parse("tensor<4xui8>")) == "tensor<4xui8>"


@pytest.mark.skipif(OPT is None, reason="mlir-opt is in the test extra")
def test_mlir_opt_reads_px_with_the_irdl_file(tmp_path):
    dialect, program = tmp_path / "px.irdl.mlir", tmp_path / "program.mlir"
    dialect.write_text(file_text())
    program.write_text(TWO_EQUAL)
    done = subprocess.run([str(OPT), f"--irdl-file={dialect}", str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("px.exp") == 3
