"""The option `fastmath`: what it takes, where its flags go, that it is part of every key."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px


@pytest.mark.parametrize(("given", "text"), [
    (True, "reassoc,nnan,ninf,nsz,arcp,contract,afn"), (False, ""), ("", ""), ("0", ""), ("afn, nnan", "nnan,afn"),
    (["nsz", "reassoc"], "reassoc,nsz"), (("arcp",), "arcp"), ({"nnan"}, "nnan"),
])  # fmt: skip
def test_lists_of_flags(given: Any, text: str) -> None:
    with px.options(fastmath=given):
        assert px.config()["fastmath"].value == text


@pytest.mark.parametrize("given", ["fast", ["nan"], 3, 1.5])
def test_refused(given: Any) -> None:
    with pytest.raises(px.ArgumentError, match="fastmath"), px.options(fastmath=given):
        pass


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from phalanx.compiler import config

    monkeypatch.setenv("PHALANX_FASTMATH", "nnan,nsz")
    config.reload()
    assert px.config()["fastmath"].value == "nnan,nsz"
    monkeypatch.setenv("PHALANX_FASTMATH", "1")
    config.reload()
    assert px.config()["fastmath"].value.startswith("reassoc,")
    monkeypatch.undo()
    config.reload()


def _difference(x: Any, y: Any) -> Any:
    return (x + y) - y


def test_default_keeps_ieee_and_flags_are_part_of_the_key() -> None:
    function = px.defn(_difference)
    x, y = np.full(64, 1e-3, np.float32), np.full(64, 1e8, np.float32)
    exact = np.asarray(function(x, y))
    with px.options(fastmath="reassoc,nsz"):
        loose = np.asarray(function(x, y))
    assert np.array_equal(exact, np.zeros(64, np.float32))
    assert np.array_equal(loose, x)
    assert np.array_equal(np.asarray(function(x, y)), exact)


def test_one_function_may_ask_for_it() -> None:
    function = px.jit(_difference, fastmath=["reassoc", "nsz"])
    assert float(np.asarray(function(np.float32(1e-3), np.float32(1e8)))) == np.float32(1e-3)


def test_text_of_the_stages() -> None:
    plain = px.compile(lambda x: px.sqrt(x * x + 1.0), "f32[8]")
    with px.options(fastmath="arcp"):
        loose = px.compile(lambda x: px.sqrt(x * x + 1.0), "f32[8]")
    assert "fastmath" not in plain.text("linalg")
    assert "fastmath<arcp>" in loose.text("linalg")
    assert loose.options["fastmath"] == "arcp"


def test_reductions_survive_all_flags() -> None:
    x = np.linspace(-3, 5, 1000, dtype=np.float32)
    with px.options(fastmath=True):
        top, low, total, place = px.jit(lambda x: (px.max(x), px.min(x), px.sum(x), px.argmax(x)))(x)
    assert float(np.asarray(top)) == 5 and float(np.asarray(low)) == -3 and int(np.asarray(place)) == 999
    np.testing.assert_allclose(np.asarray(total), x.sum(dtype=np.float64), rtol=1e-6)
