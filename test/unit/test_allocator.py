"""The pooled, aligned allocator: alignment, reuse, accounting, threads, fork, finalizers."""

from __future__ import annotations

import gc
import itertools
import os
import threading

import numpy as np
import pytest

from phalanx.dialects.errors import DeviceError
from phalanx.runtime.allocator import ALIGNMENT, HOST, Allocator, allocator_of, size_class
from phalanx.runtime.device import CPU, Device, parse_device


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 1000, 4097, 1 << 20, (1 << 20) + 1, 5 << 20])
def test_memory_is_aligned_and_writable(nbytes: int) -> None:
    memory = Allocator().allocate(nbytes)
    assert memory.address % ALIGNMENT == 0
    view = memory.bytes_view(writable=True)
    view[...] = 7
    assert view.nbytes == nbytes
    assert (memory.bytes_view() == 7).all()


def test_size_classes_hold_the_request_and_waste_little() -> None:
    previous = 0
    for nbytes in [*range(1, 5000), *(3**k for k in range(8, 25))]:
        capacity = size_class(nbytes)
        assert capacity >= nbytes
        assert capacity % ALIGNMENT == 0
        assert capacity >= previous or nbytes < previous
        assert capacity - nbytes < max(ALIGNMENT, nbytes / 3)
        previous = capacity
    assert size_class(size_class(777)) == size_class(777)


def test_returned_memory_is_reused() -> None:
    allocator = Allocator()
    first = allocator.allocate(3 << 20)
    address = first.address
    del first
    assert allocator.allocate(3 << 20).address == address


def test_many_pieces_at_once() -> None:
    allocator = Allocator()
    returned = {allocator.allocate(100).address}
    pieces = allocator.allocate_many(100, 5)
    addresses = sorted(memory.address for memory in pieces)
    assert returned <= set(addresses)  # what waits in the pool is taken first
    assert all(address % ALIGNMENT == 0 for address in addresses)
    assert all(later - earlier >= 128 for earlier, later in itertools.pairwise(addresses))
    for number, memory in enumerate(pieces):
        memory.bytes_view(writable=True)[...] = number
    assert [memory.bytes_view()[99] for memory in pieces] == [0, 1, 2, 3, 4]
    now = allocator.statistics()
    assert (now.live_bytes, now.allocations) == (5 * 128, 6)
    del pieces, memory
    now = allocator.statistics()
    assert (now.live_bytes, now.pooled_bytes) == (0, 5 * 128)
    assert len({memory.address for memory in allocator.allocate_many(0, 3)}) == 3


def test_many_pieces_that_do_not_fit() -> None:
    allocator = Allocator()
    held = allocator.allocate(64)
    with pytest.raises(DeviceError, match="bytes left"):
        allocator.allocate_many(1 << 50, 4)
    assert allocator.statistics().live_bytes == 64
    del held


def test_memory_in_use_is_not_handed_out_again() -> None:
    allocator = Allocator()
    view = allocator.allocate(100).bytes_view(writable=True)
    view[...] = 1
    other = allocator.allocate(100).bytes_view(writable=True)
    other[...] = 2
    assert (view == 1).all()


def test_statistics_follow_allocations() -> None:
    allocator = Allocator()
    a = allocator.allocate(1024)
    b = allocator.allocate(2048)
    now = allocator.statistics()
    assert (now.live_bytes, now.peak_bytes, now.allocations) == (3072, 3072, 2)
    del a
    now = allocator.statistics()
    assert (now.live_bytes, now.peak_bytes, now.pooled_bytes) == (2048, 3072, 1024)
    allocator.reset_peak()
    assert allocator.statistics().peak_bytes == 2048
    assert allocator.trim() == 1024
    assert allocator.statistics().pooled_bytes == 0
    del b
    assert allocator.statistics().live_bytes == 0


def test_pool_keeps_no_more_than_it_may() -> None:
    allocator = Allocator(keep_bytes=4096)
    blocks = [allocator.allocate(2048) for _ in range(5)]
    del blocks
    assert allocator.statistics().pooled_bytes == 4096


def test_impossible_sizes_are_refused() -> None:
    allocator = Allocator()
    with pytest.raises(DeviceError, match="negative size, got -1"):
        allocator.allocate(-1)
    with pytest.raises(DeviceError, match=r"cpu:0 has no .* bytes left"):
        allocator.allocate(1 << 60)
    assert allocator.statistics().live_bytes == 0


def test_finalizers_during_allocation_do_not_deadlock() -> None:
    allocator = Allocator()

    class Cycle:
        def __init__(self) -> None:
            self.memory = allocator.allocate(64)
            self.me = self

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(500):
            Cycle()
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert allocator.statistics().live_bytes == 0


def test_threads_share_an_allocator() -> None:
    allocator = Allocator()
    clashes = []

    def work(mark: int) -> None:
        for _ in range(300):
            held = [allocator.allocate(256) for _ in range(4)]
            for memory in held:
                memory.bytes_view(writable=True)[...] = mark
            if any((memory.bytes_view() != mark).any() for memory in held):
                clashes.append(mark)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not clashes
    now = allocator.statistics()
    assert (now.live_bytes, now.allocations) == (0, 4800)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the point of the test
def test_forked_children_allocate_while_other_threads_do() -> None:
    allocator = Allocator()
    large = allocator.allocate(2 << 20).bytes_view(writable=True)
    large[...] = 1
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            allocator.allocate(100)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                large[...] = 2  # the child's own copy
                memory = allocator.allocate(100)
                os._exit(0 if memory.address % ALIGNMENT == 0 else 1)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
    finally:
        done.set()
        thread.join()
    assert np.all(large == 1)


def test_device_spelling() -> None:
    assert parse_device("cpu") == CPU == parse_device("cpu:0") == parse_device(CPU)
    assert parse_device("cuda:2") == Device("cuda", 2)
    assert str(Device("cuda", 2)) == "cuda:2"
    with pytest.raises(DeviceError, match="cannot read 'CPU 0'"):
        parse_device("CPU 0")


def test_allocator_of_a_device() -> None:
    assert allocator_of("cpu") is allocator_of(CPU) is HOST
    with pytest.raises(DeviceError, match="no memory of ours on cuda:1") as caught:
        allocator_of("cuda:1")
    assert caught.value.hint == "known: cpu:0"
