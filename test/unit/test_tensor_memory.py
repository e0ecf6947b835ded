"""Where tensors live and when their memory goes: backends, transfer, deallocation, donation, statistics, isolation."""

from __future__ import annotations

import asyncio
import threading

import pytest

import phalanx as px


def test_to_and_transfer() -> None:
    x = px.asarray([1.0, 2.0])
    there = x.to("numpy")
    assert there.backend.name == "numpy" and there.tolist() == [1.0, 2.0]
    assert x.to("cpu") is x
    moved = there.transfer("cpu")
    assert moved.tolist() == [1.0, 2.0]
    assert there.is_deleted
    assert repr(there) == "px.Tensor(<it was transferred to cpu>, shape=(2,), dtype=float32)"


def test_containers() -> None:
    tree = {"w": px.asarray([1.0]), "b": (px.asarray(2.0), None, 3)}
    copied = px.backend_copy(tree, "numpy")
    assert copied["w"].backend.name == "numpy" and copied["b"][2] == 3
    here = px.backend_copy(tree)
    assert here["w"].storage.pointer != tree["w"].storage.pointer
    moved = px.backend_transfer(tree, "numpy")
    assert moved["b"][0].item() == 2.0
    assert tree["w"].is_deleted and tree["b"][0].is_deleted
    px.backend_deallocate(here)
    assert here["w"].is_deleted


@pytest.mark.parametrize("backend", ["cpu", "numpy", "array_api_strict"])
def test_deallocated_tensors_are_refused(backend: str) -> None:
    x = px.asarray([1.0, 2.0]).to(backend)
    assert x.deallocate() is True
    assert x.deallocate() is False
    for use in (lambda: x + 1, lambda: x.numpy(), lambda: x.tolist(), lambda: px.jit(lambda a: a)(x)):
        with pytest.raises(px.DeviceError, match="cannot be read, it was deallocated"):
            use()
    assert repr(x) == "px.Tensor(<it was deallocated>, shape=(2,), dtype=float32)"
    assert (x.shape, x.dtype) == ((2,), px.float32)


def test_freed_memory_is_reused_and_counted() -> None:
    before = px.memory_stats()["cpu:0"]
    x = px.zeros((1 << 20,))
    during = px.memory_stats()["cpu:0"]
    assert during.live_bytes - before.live_bytes >= x.nbytes
    assert during.peak_bytes >= during.live_bytes
    x.deallocate()
    assert px.memory_stats()["cpu:0"].live_bytes < during.live_bytes


def test_the_null_backend_counts_too() -> None:
    with px.use_backend("null"):
        x = px.ones((10, 10))
        assert px.memory_stats()["null:0"].live_bytes >= x.nbytes


@pytest.mark.parametrize("compiler", ["mlir", "evaluator"])
@pytest.mark.parametrize("backend", ["cpu", "numpy"])
def test_donated_arguments_are_gone_everywhere(compiler: str, backend: str) -> None:
    step = px.jit(lambda state, x: (state + x, x), donate="state", compiler=compiler)
    state, x = px.asarray([1.0]).to(backend), px.asarray([2.0]).to(backend)
    result, same = step(state, x)
    assert (result.tolist(), same.tolist(), x.tolist()) == ([3.0], [2.0], [2.0])
    with pytest.raises(px.DeviceError, match=r"argument 'state' of '<lambda>' was donated") as caught:
        state * 2
    assert caught.value.hint == "use the result of that call, or pass a copy to it"


def test_an_argument_that_is_returned_survives_its_donation() -> None:
    for compiler in ("mlir", "evaluator"):
        assert px.jit(lambda x: x, donate="x", compiler=compiler)(px.asarray([1.0])).tolist() == [1.0]


def test_threads_do_not_share_the_backend() -> None:
    seen: dict[str, str] = {}
    barrier = threading.Barrier(2)

    def work(name: str) -> None:
        with px.use_backend(name):
            barrier.wait()
            seen[name] = (px.asarray([1.0]) + 1).backend.name
            barrier.wait()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("numpy", "array_api_strict")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"numpy": "numpy", "array_api_strict": "array_api_strict"}
    assert px.asarray([1.0]).backend.name == "cpu"


def test_tasks_do_not_share_the_backend() -> None:
    async def work(name: str) -> str:
        with px.use_backend(name):
            await asyncio.sleep(0)
            made = px.asarray([1.0]) * 2
            await asyncio.sleep(0)
            return made.backend.name

    async def both() -> list[str]:
        return list(await asyncio.gather(work("numpy"), work("cpu"), work("numpy")))

    assert asyncio.run(both()) == ["numpy", "cpu", "numpy"]
