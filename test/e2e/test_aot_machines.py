"""Exported code on processors that are not there: old and new x86, and aarch64, under qemu or unicorn."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bare import emulator, run_program, write_program

import phalanx as px
from phalanx.compiler.aot.levels import requirement
from phalanx.compiler.aot.linker import find_linker
from phalanx.compiler.targets.isa import isa
from phalanx.dialects.errors import CompileError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="libraries are made for Linux")

RANDOM = np.random.default_rng(11)


def floats(*shape: int, dtype: str = "float32") -> np.ndarray[Any, Any]:
    return RANDOM.standard_normal(shape).astype(px.dtype(dtype).numpy)


def attention(q: Any, k: Any, v: Any) -> Any:
    return px.softmax(q @ k.T / 4.0, axis=-1) @ v


def functions(x: Any) -> Any:
    bounded = px.tanh(x)
    return {"erfinv": px.erfinv(bounded), "sin": px.sin(x), "exp": px.exp(x), "pow": px.abs(x) ** 1.5,
            "sum": px.sum(x, axis=0), "best": px.argmax(x, axis=1), "floor": px.floor(x)}


def integers(x: Any) -> Any:
    return px.cumulative_sum(x * x, axis=0), px.flip(x, axis=0), x // 3


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[np.ndarray[Any, Any], ...]]] = {
    "attention": (attention, (floats(5, 16), floats(7, 16), floats(7, 16))),
    "product": (lambda x, y: x @ y, (floats(33, 65), floats(65, 47))),
    "doubles": (lambda x, y: px.exp(x @ y), (floats(9, 20, dtype="float64"), floats(20, 11, dtype="float64"))),
    "functions": (functions, (floats(6, 37),)),
    "half": (lambda x: px.softmax(x * 2, axis=-1), (floats(3, 21, dtype="float16"),)),
    "brain": (lambda x: px.tanh(x) + px.sum(x), (floats(4, 9, dtype="bfloat16"),)),
    "integers": (integers, (RANDOM.integers(-50, 50, (17, 5)).astype(np.int64),)),
}


def names(shapes: tuple[np.ndarray[Any, Any], ...]) -> list[str]:
    """Specs whose first sizes have names, equal sizes the same."""
    return [f"{px.dtype(a.dtype).short}[{','.join([f'n{a.shape[0]}', *map(str, a.shape[1:])])}]" for a in shapes]


def run(program: str, targets: str, folder: Path, cpu: str = "") -> tuple[int, list[Any], list[Any]]:
    """Status and results under an emulator, and what the evaluator says."""
    function, arrays = PROGRAMS[program]
    record = requirement(targets.split(",")[0])[1]
    if not emulator(record.architecture):
        pytest.skip(f"nothing here runs {record.architecture} programs: needs qemu-user or the unicorn package")
    try:
        linker = find_linker(record)
    except CompileError as error:
        pytest.skip(error.message)
    if linker.compiler:
        pytest.skip("a C compiler links with its own libraries")
    specs = names(arrays) if program in ("attention", "functions") else list(arrays)
    made = px.export([("program", function, specs)], folder / "program.a", target=targets, emit="a")
    with px.use_backend("numpy"), px.options(compiler="evaluator"):
        expected = [np.asarray(x) for x in _leaves(px.jit(function)(*arrays))]
    outputs = [np.zeros_like(x) for x in expected]
    path = folder / "program"
    write_program(path, made.files["a"], "program", record, arrays, outputs, linker)
    status, found = run_program(path, record.architecture, outputs, cpu)
    return status, found, expected


def _leaves(value: Any) -> list[Any]:
    from phalanx.compiler.trace import tree

    return [leaf.numpy() for leaf in tree.flatten(value)[0]]


def agree(found: list[Any], expected: list[Any]) -> None:
    for actual, wanted in zip(found, expected, strict=True):
        assert actual.dtype == wanted.dtype
        if actual.dtype.kind in "iub":
            np.testing.assert_array_equal(actual, wanted)
        else:
            units = {8: 1e-12, 4: 2e-5, 2: 2e-2}[actual.dtype.itemsize]
            np.testing.assert_allclose(actual.astype(np.float64), wanted.astype(np.float64), rtol=units, atol=units)


@pytest.mark.parametrize("program", PROGRAMS)
def test_aarch64(program: str, tmp_path: Path) -> None:
    status, found, expected = run(program, "aarch64", tmp_path)
    assert status == 0
    agree(found, expected)


@pytest.mark.parametrize("cpu", ["Nehalem", "Haswell", "max"])
@pytest.mark.parametrize("program", ["attention", "functions", "half", "integers"])
def test_x86(program: str, cpu: str, tmp_path: Path) -> None:
    if not emulator("x86_64"):
        pytest.skip("nothing here emulates x86-64 processors: needs qemu-user")
    status, found, expected = run(program, "x86-64-v2,x86-64-v3,x86-64-v4", tmp_path, cpu)
    assert status == 0
    agree(found, expected)


def test_a_processor_below_every_level(tmp_path: Path) -> None:
    if not emulator("x86_64"):
        pytest.skip("nothing here emulates x86-64 processors: needs qemu-user")
    for targets, cpu in (("x86-64-v2,x86-64-v3", "qemu64"), ("x86-64-v3", "Nehalem")):
        status, found, _ = run("functions", targets, tmp_path, cpu)
        assert status == -100
        assert all((array == 0).all() for array in found)


def test_a_library_for_aarch64_is_linked_here(tmp_path: Path) -> None:
    try:
        find_linker(isa("aarch64"))
    except CompileError as error:
        pytest.skip(error.message)
    made = px.export(attention, tmp_path / "soft.so", "f32[n,8]", "f32[m,8]", "f32[m,8]", target="aarch64")
    data = made.files["so"].read_bytes()
    assert data[18:20] == b"\xb7\x00"
    assert b"libc.so.6" in data
    again = px.export(attention, tmp_path / "soft.so", "f32[n,8]", "f32[m,8]", "f32[m,8]", target="aarch64")
    assert again.files["so"].read_bytes() == data


def test_ziglang_is_there_to_link_for_other_machines() -> None:
    """The test dependencies include it, so that cross-linking is tested wherever the tests run."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("needs the ziglang package")
    assert find_linker(isa("aarch64")).name in ("ld.lld", "ziglang")
