"""px.assume: facts about named sizes, in compiled functions, libraries, packages and from the command line."""

from __future__ import annotations

import ctypes
import json
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.aot.package import retarget
from phalanx.compiler.aot.status import MOST_ASSUMPTIONS, Status
from phalanx.dialects import dims
from phalanx.runtime import manifest

linux = pytest.mark.skipif(sys.platform != "linux", reason="libraries are made for Linux")

N, M = dims.Dim.named("n"), dims.Dim.named("m")


def evens(x: Any, y: Any) -> Any:
    """Every second element."""
    n = x.shape[0]
    px.assume(n % 2 == 0, "rows come in pairs")
    px.assume(n <= 4096)
    px.assume(n == 2 * y.shape[0])
    return x[::2], y


def ones(count: int) -> np.ndarray[Any, Any]:
    return np.ones(count, np.float32)


#: sizes of x and y, and what is said
BROKEN = [
    (3, 1, "n % 2 == 0 does not hold: rows come in pairs"),
    (8192, 4096, "n <= 4096 does not hold"),
    (4, 3, "n == 2*m does not hold"),
]


# -- facts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fact", "text", "values", "holds"), [
    (N % 8 == 0, "n % 8 == 0", {"n": 16}, True),
    (N % 8 == 0, "n % 8 == 0", {"n": 0}, True),
    (N % 8 != 1, "n % 8 != 1", {"n": 9}, False),
    (N <= 4096, "n <= 4096", {"n": 4096}, True),
    (N <= 4096, "n <= 4096", {"n": 4097}, False),
    (N < M, "n < m", {"n": 3, "m": 3}, False),
    (N > 2 * M, "n > 2*m", {"n": 7, "m": 3}, True),
    ((N + 1) // 2 >= M % (N + 1), "(n + 1) // 2 >= m % (n + 1)", {"n": 5, "m": 4}, False),
])
def test_facts_read_as_they_are_written(fact: Any, text: str, values: dict[str, int], holds: bool) -> None:
    assert str(fact) == text
    assert dims.parse_fact(text) == fact
    assert fact.holds(values) is holds
    assert pickle.loads(pickle.dumps(fact)) == fact


def test_what_the_expressions_decide_is_a_bool() -> None:
    assert (N == N) is True
    assert (N != N) is False
    assert (N + 1 > N) is True
    assert (N < 0) is False
    assert (2 * N + 3 >= N) is True


def test_an_undecided_fact_in_a_branch() -> None:
    assert bool(N == M) is False
    assert N != 4
    assert N not in (3, M)
    for fact in (N > 3, N >= M, N < 3):
        with pytest.raises(px.TraceError, match="is not known while tracing, since the size n has no value"):
            bool(fact)


@pytest.mark.parametrize("text", ["n", "n = 3", "1 < n < 3", "n == ", "n $ 3", "n == 3.5"])
def test_texts_that_are_no_fact(text: str) -> None:
    with pytest.raises(px.ShapeError, match="dim: "):
        dims.parse_fact(text)


# -- compiled functions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("compiler", "backend"), [("evaluator", "numpy"), ("mlir", "cpu")])
def test_a_compiled_function_refuses_sizes_at_the_users_line(compiler: str, backend: str) -> None:
    with px.use_backend(backend), px.options(compiler=compiler):
        compiled = px.compile(evens, "f32[n]", "f32[m]")
        for count in (0, 2, 4096):
            assert compiled(ones(count), ones(count // 2))[0].shape == (count // 2,)
        for n, m, message in BROKEN:
            with pytest.raises(px.ArgumentError, match=f"evens: {re.escape(message)}") as caught:
                compiled(ones(n), ones(m))
            assert f"n = {n} (from 'x' axis 0)" in str(caught.value)
            line = next(i for i, text in enumerate(Path(__file__).read_text().splitlines(), 1)
                        if f"px.assume({message.split(' does')[0]}".replace("2*m", "2 * y.shape[0]") in text)
            assert caught.value.location is not None
            assert f"{Path(__file__).name}:{line}:" in caught.value.location


def test_sizes_that_are_known_are_compared_while_tracing() -> None:
    assert px.jit(evens)(ones(4), ones(2))[0].shape == (2,)
    with pytest.raises(px.ArgumentError, match="does not hold for these sizes: rows come in pairs"):
        px.jit(evens)(ones(3), ones(2))
    with pytest.raises(px.ArgumentError, match="does not hold"):
        px.assume(np.ones(3).shape[0] == 4)


def test_what_is_stated_is_not_required_again() -> None:
    def fourth(x: Any) -> Any:
        px.assume(x.shape[0] >= 4, "four or more")
        return x[3]

    compiled = px.compile(fourth, "f32[n]")
    assert compiled.traced.requirements == []
    with pytest.raises(px.ArgumentError, match="n >= 4 does not hold: four or more, got n = 3"):
        compiled(ones(3))


def test_facts_hold_through_transforms_and_inner_functions() -> None:
    @px.defn
    def inner(x: Any) -> Any:
        px.assume(x.shape[0] % 2 == 0)
        return px.sum(x * x)

    compiled = px.compile(px.grad(lambda x: inner(x)), "f32[n]")
    np.testing.assert_array_equal(compiled(ones(2)).numpy(), [2, 2])
    with pytest.raises(px.ArgumentError, match="n % 2 == 0 does not hold, got n = 3"):
        compiled(ones(3))


@pytest.mark.parametrize(("function", "error", "message"), [
    (lambda x: px.assume(x > 3), px.ArgumentError, "takes a comparison of sizes, got a Tracer"),
    (lambda x: px.assume("n == 3"), px.ArgumentError, "takes a comparison of sizes, got a str"),
    (lambda x: px.assume(x.shape[0] == x.shape[0] + 1), px.ArgumentError, r"n == n \+ 1 never holds"),
    (lambda x: px.assume(0 < x.shape[0] < 9), px.TraceError, "n > 0 is not known while tracing"),
])
def test_mistakes(function: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        px.compile(function, "f32[n]")


def test_outside_a_traced_function() -> None:
    with pytest.raises(px.TraceError, match="only a function that is traced has"):
        px.assume(N == 3)


# -- libraries ---------------------------------------------------------------------------------------------------


def pointer(array: np.ndarray[Any, Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@linux
def test_every_fact_has_a_status_and_a_text(tmp_path: Path) -> None:
    made = px.export(evens, tmp_path / "evens.so", "f32[n]", "f32[m]", target="host")
    (function,) = made.manifest["functions"]
    assert [(a["fact"], a["status"]) for a in function["assumptions"]] == [
        ("n % 2 == 0", 200), ("n <= 4096", 201), ("n == 2*m", 202)]
    header = (tmp_path / "evens.h").read_text()
    assert "PHALANX_ASSUMPTION = 200" in header
    assert "Status 200 unless n % 2 == 0: rows come in pairs." in header
    library = ctypes.CDLL(str(made.files["so"]))
    library.evens_status_text.restype = ctypes.c_char_p
    library.evens_arena_bytes.restype = ctypes.c_int64
    number = ctypes.c_int64
    for n, m, message in BROKEN:
        x, y = ones(n), ones(m)
        arrays = [x, y, np.full((n + 1) // 2, -1, np.float32), np.full(m, -1, np.float32)]
        status = library.evens(*map(pointer, arrays), number(n), number(m))
        assert status in (200, 201, 202)
        text = library.evens_status_text(status).decode()
        assert text.startswith(message)
        assert re.search(r" \(test_assume\.py:\d+\)$", text)
        assert (arrays[2] == -1).all()
        assert library.evens_arena_bytes(number(n), number(m)) == -1
        shape = (number * 1)(), (number * 1)()
        assert library.evens_out_shape(number(n), number(m), *shape) == status
        table = (ctypes.c_void_p * 4)(*[a.ctypes.data for a in arrays])
        sizes = (number * 4)(n, m, (n + 1) // 2, m)
        assert library.evens_call(table, sizes, number(4), None, number(0), None, None) == status
    assert library.evens(*map(pointer, arrays), number(-2), number(-1)) == Status.NEGATIVE
    good = [ones(4), ones(2), ones(2), ones(2)]
    assert library.evens(*map(pointer, good), number(4), number(2)) == 0


@linux
def test_inspect_lists_facts(tmp_path: Path, capsys: Any) -> None:
    from phalanx.compiler import cli

    made = px.export(evens, tmp_path / "evens.so", "f32[n]", "f32[m]", target="host")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["inspect", str(made.files["so"])])
    assert "assumes n % 2 == 0: rows come in pairs" in capsys.readouterr().out


@linux
def test_an_overflow_in_a_fact_is_an_overflow(tmp_path: Path) -> None:
    def squares(x: Any) -> Any:
        n = x.shape[0]
        px.assume(n * n * n < 1000)
        return x * x

    made = px.export(squares, tmp_path / "squares.so", "f32[n]", target="host")
    call = ctypes.CDLL(str(made.files["so"])).squares
    array = ones(10)
    assert call(pointer(array), pointer(array), ctypes.c_int64(1 << 40)) == Status.OVERFLOW
    assert call(pointer(array), pointer(array), ctypes.c_int64(10)) == Status.ASSUMPTION


@linux
def test_a_loaded_function_names_argument_size_and_line(tmp_path: Path) -> None:
    px.export(evens, tmp_path / "evens.so", "f32[n]", "f32[m]", target="host")
    loaded = px.load(tmp_path / "evens.so")
    np.testing.assert_array_equal(loaded(np.arange(4, dtype=np.float32), ones(2))[0], [0, 2])
    for n, m, message in BROKEN:
        wanted = rf"{re.escape(message)} \(test_assume\.py:\d+\), got .*from '[xy]' axis 0"
        with pytest.raises(px.ArgumentError, match=wanted):
            loaded(ones(n), ones(m))


@linux
def test_a_package_keeps_its_facts_when_it_is_retargeted(tmp_path: Path) -> None:
    path = tmp_path / "evens.pxa"
    px.export(evens, path, "f32[n]", "f32[m]", target="x86-64-v2", assume="m >= 1")
    retarget(path, "x86-64-v2,x86-64-v3")
    loaded = px.load(path)
    assert [str(a.fact) for a in loaded.entry.assumptions] == ["n % 2 == 0", "n <= 4096", "n == 2*m", "m >= 1"]
    with pytest.raises(px.ArgumentError, match="rows come in pairs"):
        loaded(ones(3), ones(1))
    with pytest.raises(px.ArgumentError, match="m >= 1 does not hold"):
        loaded(ones(0), ones(0))


@linux
def test_facts_given_to_an_export(tmp_path: Path) -> None:
    def both(x: Any, y: Any) -> Any:
        return px.concat([x, y])

    def one(x: Any) -> Any:
        return x + x

    made = px.export([("both", both, ["f32[n]", "f32[m]"]), ("one", one, ["f32[m]"])], tmp_path / "two.h", emit="h",
                     assume=["m % 4 == 0", "n==2 * m"])
    facts = [[a["fact"] for a in f["assumptions"]] for f in made.manifest["functions"]]
    assert facts == [["m % 4 == 0", "n == 2*m"], ["m % 4 == 0"]]
    for texts, message in ((["k == 3"], "no function has these named sizes"), (["3 == 3"], "no function has these"),
                           (["m == m + 1"], "never holds"), (["m"], "not a comparison of two sizes")):
        with pytest.raises(px.PhalanxError, match=message):
            px.export(one, tmp_path / "one.h", "f32[m]", emit="h", assume=texts)
    many = [f"m != {i}" for i in range(MOST_ASSUMPTIONS + 1)]
    with pytest.raises(px.ArgumentError, match=f"assumes {len(many)} facts, and there are statuses for"):
        px.export(one, tmp_path / "one.h", "f32[m]", emit="h", assume=many)


@linux
def test_facts_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from phalanx.compiler import cli

    (tmp_path / "assumed_model.py").write_text("def double_it(x):\n    return x + x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    words = ["compile", "assumed_model.py:double_it", "--arg", "x=f32[n]", "--emit", "h"]
    with pytest.raises(SystemExit, match="0"):
        cli.main([*words, "--assume", "n % 8 == 0", "--assume", "n > 0"])
    text = (tmp_path / "double_it.h").read_text()
    assert "Status 201 unless n > 0." in text
    assert cli.main([*words, "--assume", "n is 8"]) == 1
    assert "is not a comparison of two sizes" in capsys.readouterr().err


@linux
def test_a_manifest_with_foreign_facts_is_refused(tmp_path: Path) -> None:
    made = px.export(evens, tmp_path / "evens.h", "f32[n]", "f32[m]", emit="h")
    for fact, message in (("k == 3", "uses k, which is not among the named sizes"), ("n", "is no fact about sizes"),
                          ("(" * 30 + "n" + ")" * 30 + " == 3", "too long"), ("n +" * 200 + "n == 3", "too long")):
        changed = json.loads(json.dumps(made.manifest))
        changed["functions"][0]["assumptions"][0]["fact"] = fact
        with pytest.raises(px.ArtifactError, match=message):
            manifest.read(json.dumps(changed).encode(), "evens.so")
    del changed["functions"][0]["assumptions"]
    assert manifest.read(json.dumps(changed).encode(), "old.so").functions[0].assumptions == ()
