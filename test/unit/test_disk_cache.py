"""The cache on disk: entries, room, damage, folders that cannot be used; and the compiler's use of it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler import cache, config, eager_cpu
from phalanx.compiler.cache import DiskCache, Entry
from phalanx.dialects.errors import CompileError
from phalanx.dialects.records import replace

ROOT = Path(__file__).resolve().parents[2]


def entry(name: str, size: int = 100) -> Entry:
    return Entry(name, {"ir": name, "machine": "znver3"}, bytes(size), (0, 1))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A fresh folder in force, with nothing loaded from before."""
    from phalanx.compiler import native

    place = tmp_path / "objects"
    monkeypatch.setenv("PHALANX_CACHE_DIR", str(place))
    config.reload()
    monkeypatch.setattr(native, "_loaded", native.Recent(8))
    cache.forget_folders()
    yield place
    cache.forget_folders()


def test_what_is_put_is_got(tmp_path):
    store = DiskCache(tmp_path / "a" / "b", 1 << 20)
    assert store.put(entry("f"))
    assert store.get(entry("f").key) == entry("f")
    assert store.get(entry("g").key) is None
    assert stat.S_IMODE(os.stat(store.folder).st_mode) == 0o700
    assert [stat.S_IMODE(p.stat().st_mode) for p in store.folder.iterdir()] == [0o600]


def test_the_least_recently_used_goes_first(tmp_path):
    size = len(entry("x").to_bytes())
    store = DiskCache(tmp_path, 3 * size)
    for age, name in enumerate("abc"):
        store.put(entry(name))
        os.utime(store.folder / f"{entry(name).key}.pxo", (1000 + age, 1000 + age))
    assert store.get(entry("a").key)  # now the youngest
    store.put(entry("d"))
    assert {e.key for e in store.entries()} == {entry(n).key for n in "acd"}
    assert not store.put(entry("large", size=4 * size)), "an entry above the capacity is not stored at all"
    assert len(store.entries()) == 3


def test_another_process_fills_the_folder_too(tmp_path):
    size = len(entry("x").to_bytes())
    one, other = DiskCache(tmp_path, 4 * size), DiskCache(tmp_path, 4 * size)
    for number in range(10):
        (one if number % 2 else other).put(entry(str(number)))
    DiskCache(tmp_path, 4 * size).put(entry("x"))
    assert len(one.entries()) <= 4


def test_abandoned_files_are_removed(tmp_path):
    store = DiskCache(tmp_path, 1 << 20)
    old, young = tmp_path / ".tmp-1-1", tmp_path / ".tmp-2-2"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (1000, 1000))
    store.put(entry("f"))
    assert not old.exists() and young.exists()


@pytest.mark.parametrize("damage", [
    lambda raw: b"", lambda raw: raw[:20], lambda raw: raw[:-1], lambda raw: b"X" + raw[1:],
    lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), lambda raw: os.urandom(len(raw)),
])
def test_damaged_entries_are_dropped(tmp_path, damage):
    store = DiskCache(tmp_path, 1 << 20)
    store.put(entry("f"))
    (path,) = tmp_path.glob("*.pxo")
    path.write_bytes(damage(path.read_bytes()))
    assert store.get(entry("f").key) is None
    assert not path.exists()


def test_an_entry_under_a_foreign_name_is_not_believed(tmp_path):
    store = DiskCache(tmp_path, 1 << 20)
    store.put(entry("f"))
    (path,) = tmp_path.glob("*.pxo")
    path.rename(tmp_path / f"{entry('g').key}.pxo")
    assert store.get(entry("g").key) is None


def test_folders_that_cannot_be_used(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    for place in (file, file / "below", shared, Path("/proc/nowhere")):
        store = DiskCache(place, 1 << 20)
        assert not store.put(entry("f"))
        assert store.get(entry("f").key) is None
        assert store.entries() == [] and store.clear() == 0


def test_a_folder_that_vanishes(tmp_path):
    store = DiskCache(tmp_path / "objects", 1 << 20)
    store.put(entry("f"))
    store.clear()
    store.folder.rmdir()
    assert not store.put(entry("g"))
    assert store.get(entry("g").key) is None


def test_every_part_counts_in_the_key():
    parts = {"ir": "1", "options": "2", "machine": "3"}
    keys = {cache.key_of(parts)} | {cache.key_of({**parts, name: "x"}) for name in parts}
    assert len(keys) == 4
    assert cache.differences(parts, {**parts, "machine": "x"}) == ["machine"]


def test_the_folder_of_the_user(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.default_folder() == Path("/somewhere/phalanx")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache.default_folder() == Path("/home/someone/.cache/phalanx")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # no home
    monkeypatch.delenv("PHALANX_CACHE_DIR", raising=False)
    cache.forget_folders()
    assert cache.default_folder() is None and cache.disk() is None
    cache.forget_folders()


# The compiler's use of it.
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def compiled() -> px.Tensor:
    return px.jit(lambda x: px.tanh(x) * 3)(X)


def forget() -> None:
    from phalanx.compiler import native

    native._loaded.clear()
    eager_cpu.clear()


def test_a_second_process_does_not_compile(folder):
    code = ("import numpy as np, phalanx as px\n"
            "print(px.jit(lambda x: px.exp(x) + 1)(np.ones(3, np.float32)), px.asarray([1.0]) + 1)")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PHALANX_DEBUG": "1"}
    told = [subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
            for _ in range(2)]
    assert told[0].stdout == told[1].stdout
    assert told[0].stderr.count("passes") == 2
    assert told[1].stderr.count("disk cache") == 2 and "passes" not in told[1].stderr
    strict = subprocess.run([sys.executable, "-c", code], env={**environment, "PHALANX_NO_COMPILE": "1"},
                            capture_output=True, text=True, check=False)
    assert strict.returncode == 0, strict.stderr


def test_no_compile_refuses_what_is_not_there(folder):
    with px.no_compile(), pytest.raises(CompileError, match="would compile inside px.no_compile"):
        compiled()
    expected = np.asarray(compiled())
    forget()
    with px.no_compile():
        np.testing.assert_array_equal(np.asarray(compiled()), expected)
        with pytest.raises(CompileError, match="'?subtract'?: would compile"):
            px.subtract(px.asarray(X), 2.5)


def test_options_that_change_code_are_part_of_the_key(folder):
    compiled()
    forget()
    with px.options(opt_level=3), px.no_compile(), pytest.raises(CompileError):
        compiled()
    with px.options(debug=1), px.no_compile():
        compiled()


def test_lines_are_not_part_of_the_key(folder):
    px.jit(lambda x: px.sin(x))(X)
    forget()
    with px.no_compile():
        px.jit(
            lambda x: px.sin(x))(X)


def test_the_machine_and_the_compiler_are_part_of_the_key(folder, monkeypatch):
    from phalanx.compiler import native

    compiled()
    usual = native.surroundings
    for change in ({"producer": "phalanx 9"}, {"machine": "z80"}):
        forget()
        with monkeypatch.context() as patch:
            patch.setattr(native, "surroundings", lambda c=change: {**usual(), **c})
            with px.no_compile(), pytest.raises(CompileError):
                compiled()


def test_code_that_does_not_load_is_compiled_again(folder):
    expected = np.asarray(compiled())
    store = cache.disk()
    assert store is not None
    (listed,) = [e for e in store.entries() if store.get(e.key).label == "<lambda>"]
    broken = replace(store.get(listed.key), data=b"not an object")
    store.put(broken)
    forget()
    np.testing.assert_array_equal(np.asarray(compiled()), expected)
    assert store.get(listed.key).data != broken.data


def test_an_unwritable_folder_is_no_obstacle(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("PHALANX_CACHE_DIR", str(file))
    config.reload()
    forget()
    np.testing.assert_allclose(np.asarray(compiled()), np.tanh(X) * 3, rtol=1e-5)


def test_switched_off(folder):
    with px.options(disk_cache=False):
        compiled()
    assert not folder.exists()


OWN_OPERATION = '''
import numpy as np
import phalanx as px
from phalanx.dialects.kinds import FloatFunction
from phalanx.dialects.records import replace
from phalanx.dialects.opdef import Float, Operand, op

@op()
class half(FloatFunction):
    """x / 2.

    >>> half(px.asarray(1.0))
    px.Tensor(0.5, dtype=float32)
    """

    x: Operand[Float]
    eval = lambda xp, x: x / 2
    scalar = lambda s, x: s.arith("divf", x, s.like(FACTOR, x))
    vjp = lambda ct, out, x: (ct / 2,)

print(px.jit(lambda x: half(x))(np.ones(2, np.float32)))
'''


def test_operations_of_the_user_are_not_kept(folder):
    """Their lowering may change without the key noticing."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for factor, result in (("2", "0.5"), ("4", "0.25")):
        done = subprocess.run([sys.executable, "-c", OWN_OPERATION.replace("FACTOR", factor)], env=environment,
                              capture_output=True, text=True, check=False)
        assert done.stdout == f"px.Tensor([{result} {result}], dtype=float32)\n", done.stderr
    store = cache.disk()
    assert store is not None and store.entries() == []


def test_donation_survives_the_disk(folder):
    def update(x):
        return x + 1

    px.jit(update, donate=("x",))(px.asarray(X))
    forget()
    given = px.asarray(X)
    with px.no_compile():
        result = px.jit(update, donate=("x",))(given)
    np.testing.assert_array_equal(np.asarray(result), X + 1)
    assert given.storage.deleted


def test_host_calls_survive_the_disk(folder, capfd):
    def noisy(x):
        px.print("x is {}", x)
        return x * 2

    first = np.asarray(px.jit(noisy)(X))
    shown = capfd.readouterr().out
    forget()
    with px.no_compile():
        np.testing.assert_array_equal(np.asarray(px.jit(noisy)(X)), first)
    assert "x is" in shown and capfd.readouterr().out == shown


def test_ir_is_dumped_on_a_hit(folder, tmp_path):
    compiled()
    forget()
    with px.no_compile(), px.options(dump_ir=str(tmp_path / "dump")):
        compiled()
    written = [p.name for p in (tmp_path / "dump").rglob("*.mlir")]
    assert any("linalg" in name for name in written) and any("llvm" in name for name in written)


def test_the_options_are_documented():
    for name in ("disk_cache", "cache_dir", "cache_megabytes", "no_compile"):
        assert not config.KNOBS[name].affects_compile


def phalanx(capsys, *words: str) -> str:
    from phalanx.compiler import cli

    try:
        code = cli.main(words)
    except SystemExit as end:
        code = end.code
    shown = capsys.readouterr()
    return f"{shown.out}{shown.err}" if not code else f"failed: {shown.err}"


def test_the_command(folder, capsys):
    compiled()
    with px.options(opt_level=3):
        forget()
        compiled()
    text = phalanx(capsys, "cache", "ls")
    assert text.count("<lambda>") == 2 and f"in {folder}" in text
    text = phalanx(capsys, "cache", "why", "<lambda>")
    assert "used when the function" in text
    assert "made with another options, pipeline" in text and "opt_level=3" in text
    assert "differs from the entry above in: options, pipeline" in text
    assert "nothing of 'softmax' is on disk" in phalanx(capsys, "cache", "why", "softmax")
    assert "removed 2 entries" in phalanx(capsys, "cache", "clear")
    assert "0 entries" in phalanx(capsys, "cache", "ls")


def test_the_command_on_a_folder_that_cannot_be_used(folder, capsys):
    folder.write_text("")
    assert "cannot be used" in phalanx(capsys, "cache", "ls")
