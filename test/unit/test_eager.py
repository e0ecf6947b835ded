"""Single ops on the cpu backend: right values, few compiles, safe from several threads, bounded."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler import eager, eager_cpu
from phalanx.compiler.recent import Recent
from phalanx.dialects import dtypes
from phalanx.dialects.opdef import lookup
from phalanx.runtime.backends import get_backend
from phalanx.runtime.buffer import Buffer


def compiled_by(work: Callable[[], Any]) -> int:
    before = eager_cpu.compiles()
    work()
    return eager_cpu.compiles() - before


def ones(*shape: int) -> px.Tensor:
    return px.asarray(np.ones(shape, np.float32))


def test_new_shapes_do_not_compile_again() -> None:
    eager_cpu.clear()
    assert compiled_by(lambda: ones(3, 4) + ones(3, 4)) == 1
    assert compiled_by(lambda: [ones(*s) + ones(*s) for s in ((5, 6), (7,), (2, 3, 4), (), (0, 3), (1, 1))]) == 0
    assert compiled_by(lambda: px.sum(ones(3, 4), axis=1)) == 1
    assert compiled_by(lambda: [px.sum(ones(*s), axis=-1, keepdims=k) for k in (True, False)
                                for s in ((5, 6), (2, 3, 4), (5, 1), (0, 3), (3, 0))]) == 0
    assert compiled_by(lambda: ones(3, 4) @ ones(4, 2)) == 1
    assert compiled_by(lambda: [ones(n, m) @ ones(m, 3) for n, m in ((1, 1), (5, 9), (0, 2), (2, 0))]) == 0
    assert compiled_by(lambda: ones(3, 4)[np.asarray([0, 1])]) == 1
    assert compiled_by(lambda: [ones(*s)[np.asarray(i)] for s, i in (((5, 6), [4]), ((2, 2), [0, 1, 1]))]) == 0


def test_broadcasts_of_one_pattern_compile_once() -> None:
    eager_cpu.clear()
    assert compiled_by(lambda: ones(3, 4) * ones(4)) == 1
    assert compiled_by(lambda: [ones(5, 2, 7) * ones(2, 7), ones(9, 9) * ones(1, 9)]) == 0


def test_moving_ops_do_not_compile() -> None:
    x = px.asarray(np.arange(12).reshape(3, 4))
    assert compiled_by(lambda: [
        x.T, x[1:, ::-2], px.concat([x, x]), px.broadcast_to(x[0], (5, 4)), px.arange(7), px.zeros((2, 2)),
        px.flip(x), x.reshape(4, 3), px.stack([x, x]), px.expand_dims(x, axis=0)]) == 0


def test_reshape_shares_memory() -> None:
    x = ones(3, 4)
    assert x.reshape(12).storage.pointer == x.storage.pointer


CASES: list[tuple[str, Callable[..., Any], Callable[..., Any]]] = [
    ("add", lambda a, b: a + b, np.add),
    ("broadcast", lambda a, b: a * b[0], lambda a, b: a * b[0]),
    ("compare", lambda a, b: a < b, np.less),
    ("where", lambda a, b: px.where(a > b, a, 0), lambda a, b: np.where(a > b, a, 0)),
    ("matmul", lambda a, b: a @ b.T, lambda a, b: a @ b.T),
    ("sum", lambda a, b: px.sum(a, axis=0), lambda a, b: a.sum(0, dtype=a.dtype)),
    ("argmax", lambda a, b: px.argmax(b, axis=1), lambda a, b: b.argmax(1)),
    ("concat", lambda a, b: px.concat([a, b], axis=1), lambda a, b: np.concatenate([a, b], 1)),
    ("take", lambda a, b: px.take(a, px.asarray([2, 0]), axis=1), lambda a, b: a.take([2, 0], 1)),
]


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.int64, dtypes.float64], ids=str)
@pytest.mark.parametrize(("name", "ours", "theirs"), CASES, ids=[c[0] for c in CASES])
def test_values(name: str, ours: Any, theirs: Any, dtype: px.DType) -> None:
    a = np.arange(12).reshape(3, 4).astype(dtype.numpy)
    b = (np.arange(12)[::-1].reshape(3, 4) % 5).astype(dtype.numpy)
    found = ours(px.asarray(a), px.asarray(b))
    assert found.backend.name == "cpu"
    assert np.array_equal(found.numpy(), theirs(a, b))


def test_eager_ops_inside_a_trace() -> None:
    """Tensors met while a function is traced are computed at once when no traced value is involved."""
    from phalanx.compiler.trace import state

    def f(x: Any) -> Any:
        with state.activate(None):
            table = px.exp(px.asarray([0.0, 1.0]))
        return x + table

    assert np.allclose(px.jit(f)(px.asarray([1.0, 1.0])).numpy(), 1 + np.exp([0.0, 1.0]))


def test_threads_compile_one_program_and_agree() -> None:
    eager_cpu.clear()
    barrier, found, count = threading.Barrier(4), [], eager_cpu.compiles()

    def work() -> None:
        barrier.wait()
        for n in range(1, 30):
            found.append((px.expm1(ones(n)), n))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert eager_cpu.compiles() - count == 1
    assert len(found) == 4 * 29
    assert all(t.shape == (n,) and np.allclose(t.numpy(), np.expm1(1)) for t, n in found)


def test_debug_says_what_is_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    eager_cpu.clear()
    with px.options(debug=1):
        px.hypot(ones(3), ones(3))
    assert "phalanx: eager hypot(f32[n0], f32[n0]): " in capsys.readouterr().err


def test_inference_is_not_repeated_but_errors_are() -> None:
    for _ in range(2):
        with pytest.raises(px.ShapeError, match=r"add: shapes do not broadcast, got \[2\] and \[3\]"):
            ones(2) + ones(3)


def test_results_of_the_wrong_backend_are_never_mixed() -> None:
    op = lookup("add")
    numpy_tensor = px.Tensor.from_numpy(np.ones(3, np.float32), get_backend("numpy"))
    with pytest.raises(px.DeviceError, match="add: operands live on different backends, got cpu and numpy"):
        eager.run(op, [ones(3), numpy_tensor], {})


def test_the_backend_infers_when_nobody_did() -> None:
    buffers = [Buffer.from_numpy(np.ones((2, 3), np.float32))] * 2
    (found,) = get_backend("cpu").run_op(lookup("add"), buffers, {})
    assert found.shape == (2, 3) and found.to_numpy().tolist() == [[2.0] * 3] * 2


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_runs_ops_though_another_thread_was_inside_a_cache() -> None:
    x = ones(4) + ones(4)
    with eager_cpu._plans._lock, eager_cpu._compiling:
        child = os.fork()
        if child == 0:
            os._exit(0 if (x + x).tolist() == [4.0] * 4 and (x / x).tolist() == [1.0] * 4 else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_recent_forgets_what_was_used_longest_ago() -> None:
    cache: Recent[int] = Recent(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c"), len(cache)) == (1, None, 3, 2)
    cache.clear()
    assert len(cache) == 0
