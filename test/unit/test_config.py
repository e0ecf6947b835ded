"""Options: sources and their order, context-local blocks, errors, the generated document."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from pathlib import Path

import pytest

from phalanx.compiler import config
from phalanx.dialects.errors import ArgumentError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    for knob in config.KNOBS.values():
        monkeypatch.delenv(knob.variable, raising=False)
    config.reset_defaults()
    yield
    config.reset_defaults()


def source(name):
    setting = config.table()[name]
    return setting.value, setting.source


def test_sources_in_their_order(monkeypatch):
    assert source("compiler") == ("mlir", "default")
    monkeypatch.setenv("PHALANX_COMPILER", "evaluator")
    config.reload()
    assert source("compiler") == ("evaluator", "env")
    config.set_default_options(compiler="mlir")
    assert source("compiler") == ("mlir", "set")
    with config.options(compiler="evaluator"):
        assert source("compiler") == ("evaluator", "with")
        with config.call_options({"compiler": "mlir"}):
            assert source("compiler") == ("mlir", "call")
        assert source("compiler") == ("evaluator", "with")
    assert source("compiler") == ("mlir", "set")


def test_setters_return_the_old_values():
    assert config.set_default_backend("numpy") == "cpu"
    assert config.set_default_backend("cpu") == "numpy"
    default = config.KNOBS["opt_level"].default
    with config.options(opt_level=0):
        old = config.set_default_options(opt_level=2, debug=1)
    assert old == {"opt_level": default, "debug": 0}, "a with block is not the old default"
    config.set_default_options(**old)
    assert config.get("opt_level") == default


def test_a_block_restores_after_an_exception():
    with pytest.raises(KeyError), config.use_backend("numpy"):
        raise KeyError(config.get("backend"))
    assert config.get("backend") == "cpu"


def test_threads_do_not_see_each_other():
    seen, inside, done = [], threading.Event(), threading.Event()

    def other():
        with config.options(backend="null"):
            inside.set()
            done.wait(10)
            seen.append(config.get("backend"))

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    assert config.get("backend") == "cpu"
    with config.use_backend("numpy"):
        done.set()
        thread.join()
    assert seen == ["null"]


def test_tasks_do_not_see_each_other():
    async def task(name):
        with config.use_backend(name):
            for _ in range(5):
                await asyncio.sleep(0)
                assert config.get("backend") == name

    async def both():
        await asyncio.gather(task("numpy"), task("null"))
        assert config.get("backend") == "cpu"

    asyncio.run(both())


def test_a_copied_context_keeps_its_options():
    with config.use_backend("numpy"):
        copy = contextvars.copy_context()
    assert config.get("backend") == "cpu"
    assert copy.run(config.get, "backend") == "numpy"


@pytest.mark.parametrize(("values", "message"), [
    ({"bakend": "cpu"}, "unknown option 'bakend'.*did you mean 'backend'"),
    ({"zzz": 1}, "unknown option 'zzz'.*options are backend, compiler"),
    ({"compiler": "evaluater"}, "'evaluater' is not one of mlir, evaluator.*did you mean 'evaluator'"),
    ({"opt_level": 7}, "opt_level: 7 is not one of 0, 1, 2, 3"),
    ({"opt_level": "3"}, "opt_level: expected int, got '3'"),
    ({"num_threads": True}, "num_threads: expected int, got True"),
    ({"num_threads": -1}, "num_threads: at least 0, got -1"),
    ({"fuse": 1}, "fuse: expected bool, got 1"),
])
def test_a_wrong_option_is_refused(values, message):
    pattern = "(?s)" + message
    with pytest.raises(ArgumentError, match=pattern), config.options(**values):
        pass
    with pytest.raises(ArgumentError, match=pattern):
        config.set_default_options(**values)


@pytest.mark.parametrize(("variable", "text", "message"), [
    ("PHALANX_NUM_THREADS", "two", "PHALANX_NUM_THREADS: expected an integer, got 'two'"),
    ("PHALANX_FUSE", "maybe", "PHALANX_FUSE: expected 0 or 1, got 'maybe'"),
    ("PHALANX_COMPILER", "gcc", "PHALANX_COMPILER: 'gcc' is not one of mlir, evaluator"),
])
def test_a_wrong_environment_is_refused(monkeypatch, variable, text, message):
    monkeypatch.setenv(variable, text)
    config.reload()
    with pytest.raises(ArgumentError, match=message):
        config.table()


def test_environment_is_read_once_until_reload(monkeypatch):
    monkeypatch.setenv("PHALANX_FULL_TRACEBACK", "yes")
    config.reload()
    assert config.get("full_traceback") is True
    monkeypatch.setenv("PHALANX_FULL_TRACEBACK", "0")
    assert config.get("full_traceback") is True
    config.reload()
    assert config.get("full_traceback") is False


def test_version_changes_with_every_option():
    seen = [config.version()]
    config.set_default_options(debug=0)
    seen.append(config.version())
    with config.options(debug=0):
        seen.append(config.version())
    config.reload()
    seen.append(config.version())
    for position, (overrides, generation) in enumerate(seen):
        for other, number in seen[position + 1:]:
            assert other is not overrides or number != generation


def test_a_check_refuses_a_value_when_it_is_set(monkeypatch):
    monkeypatch.setattr(config, "_checks", {})

    def known(name):
        if name != "cpu":
            raise ArgumentError(f"backend: unknown {name!r}")

    config.install_check("backend", known)
    with pytest.raises(ArgumentError, match="unknown 'gpu'"), config.use_backend("gpu"):
        pass
    with config.use_backend("cpu"):
        pass


def test_compile_key_changes_with_what_changes_code_and_nothing_else():
    key = config.compile_key()
    with config.options(opt_level=0):
        assert config.compile_key() != key
    with config.options(debug=1, backend="numpy", num_threads=1):
        assert config.compile_key() == key


def test_table_prints_every_option():
    lines = repr(config.table()).splitlines()
    assert lines[0].split() == ["option", "value", "from", "environment"]
    assert len(lines) == len(config.KNOBS) + 1
    assert any(line.split() == ["backend", "'cpu'", "default", "PHALANX_BACKEND"] for line in lines)


def test_the_document_is_up_to_date():
    assert (ROOT / "docs" / "configuration.md").read_text() == config.markdown()
