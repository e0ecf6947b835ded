"""runtime/threads.py: the number of threads, the OpenMP runtime, forks."""

import asyncio
import ctypes
import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from mlir import ir

from phalanx.compiler.pipeline import run as pipeline
from phalanx.compiler.targets import cpu
from phalanx.dialects.errors import ArgumentError
from phalanx.runtime import jit, threads

needs_openmp = pytest.mark.skipif(not threads.openmp_available(), reason="no OpenMP runtime installed")

# Squares n numbers in chunks of 1024; every chunk also writes down which thread ran it.
SQUARES = """
func.func private @omp_get_thread_num() -> i32
func.func private @squares_L1(%x0: memref<f32> {llvm.noalias}, %out0: memref<f32> {llvm.noalias},
                              %by0: memref<i32> {llvm.noalias}, %n: index)
    attributes {px.cluster = "elementwise"} {
  %x = memref.reinterpret_cast %x0 to offset: [0], sizes: [%n], strides: [1] : memref<f32> to memref<?xf32>
  %out = memref.reinterpret_cast %out0 to offset: [0], sizes: [%n], strides: [1]
    : memref<f32> to memref<?xf32>
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %chunk = arith.constant 1024 : index
  %chunks = arith.ceildivui %n, %chunk : index
  %by = memref.reinterpret_cast %by0 to offset: [0], sizes: [%chunks], strides: [1]
    : memref<i32> to memref<?xi32>
  scf.parallel (%c) = (%zero) to (%chunks) step (%one) {
    %who = func.call @omp_get_thread_num() : () -> i32
    memref.store %who, %by[%c] : memref<?xi32>
    %begin = arith.muli %c, %chunk : index
    %next = arith.addi %begin, %chunk : index
    %end = arith.minui %next, %n : index
    scf.for %i = %begin to %end step %one {
      %a = memref.load %x[%i] : memref<?xf32>
      %b = arith.mulf %a, %a : f32
      memref.store %b, %out[%i] : memref<?xf32>
    }
    scf.reduce
  }
  return
}
func.func @main(%x: memref<f32>, %out: memref<f32>, %by: memref<i32>, %n: index, %arena: memref<i8>) {
  call @squares_L1(%x, %out, %by, %n) : (memref<f32>, memref<f32>, memref<i32>, index) -> ()
  return
}
func.func @main_arena_bytes(%n: index) -> i64 {
  %bytes = arith.constant 0 : i64
  return %bytes : i64
}
"""


def squares_artifact(*, openmp: bool = True):
    text = SQUARES
    if not openmp:
        constant = "func.func private @omp_get_thread_num() -> i32 {\n  %z = arith.constant 0 : i32\n"
        text = text.replace("func.func private @omp_get_thread_num() -> i32", constant + "  return %z : i32\n}", 1)
    with ir.Context() as context, ir.Location.unknown():
        context.enable_multithreading(False)
        module = ir.Module.parse(text)
        pipeline.run(module, ",".join(name for name, _reason in cpu.llvm_pipeline(openmp)))
        cpu.add_entry(module, inputs=1, results=2, dims=1)
        return cpu.CpuTarget().finish(module)


class Squares:
    """Runs the kernel; `run(n)` returns the set of threads that took part."""

    def __init__(self, artifact) -> None:
        self.entry = jit.load(artifact.object).function("px_entry", ctypes.c_int32, *[ctypes.c_void_p] * 3)

    def run(self, size: int = 64 * 1024) -> set[int]:
        x = np.arange(size, dtype="f4")
        out = np.zeros_like(x)
        by = np.full(-(-size // 1024), -1, "i4")
        table = (ctypes.c_void_p * 3)(x.ctypes.data, out.ctypes.data, by.ctypes.data)
        assert self.entry(table, (ctypes.c_int64 * 1)(size), None) == 0
        np.testing.assert_array_equal(out, x * x)
        return set(by.tolist())


@pytest.fixture(scope="module")
def squares():
    return Squares(squares_artifact())


@pytest.fixture(autouse=True)
def _restore():
    previous = threads.set_threads(None)
    yield
    threads.set_threads(previous)


# --- how many


def test_default_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv(threads.ENVIRONMENT_VARIABLE, "3")
    assert threads.get_threads() == 3
    for automatic in (" ", "0"):
        monkeypatch.setenv(threads.ENVIRONMENT_VARIABLE, automatic)
        threads.set_threads(None)
        assert threads.get_threads() == threads.available_processors()
    for bad in ("many", "-2", "1.5"):
        monkeypatch.setenv(threads.ENVIRONMENT_VARIABLE, bad)
        threads.set_threads(None)
        with pytest.raises(ArgumentError, match=f"PHALANX_NUM_THREADS.*{bad}"):
            threads.get_threads()


def test_settings_override_each_other_in_order(monkeypatch):
    monkeypatch.setenv(threads.ENVIRONMENT_VARIABLE, "3")
    assert threads.set_threads(5) is None
    assert threads.get_threads() == 5
    with threads.limit_threads(2):
        assert threads.get_threads() == 2
        with threads.limit_threads(7):
            assert threads.get_threads() == 7
        assert threads.get_threads() == 2
        assert threads.prepare_launch(4) == 4
    assert threads.set_threads(None) == 5
    assert threads.get_threads() == 3


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "2"])
def test_bad_numbers_are_refused(bad):
    with pytest.raises(ArgumentError, match="integer >= 1"):
        threads.set_threads(bad)
    with pytest.raises(ArgumentError, match="integer >= 1"), threads.limit_threads(bad):
        pass


def test_limit_stays_in_its_thread_and_task():
    outside: list[int] = []
    with threads.limit_threads(1000):
        other = threading.Thread(target=lambda: outside.append(threads.get_threads()))
        other.start()
        other.join()
    assert outside == [threads.get_threads()]

    async def limited(count: int) -> int:
        with threads.limit_threads(count):
            await asyncio.sleep(0)
            return threads.get_threads()

    async def both() -> list[int]:
        return list(await asyncio.gather(limited(11), limited(12)))

    assert asyncio.run(both()) == [11, 12]


def test_affinity_counts():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no processor affinity on this system")
    code = """
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        from phalanx.runtime import threads
        assert threads.available_processors() == 1
    """
    environment = {key: value for key, value in os.environ.items() if key != threads.ENVIRONMENT_VARIABLE}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    assert subprocess.run(command, env=environment, check=False).returncode == 0


def write(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_quota_of_cgroup_v2_takes_the_tightest_ancestor(tmp_path):
    assert threads.cgroup_quota(tmp_path) is None
    write(tmp_path, "proc/self/cgroup", "0::/user/job\n")
    write(tmp_path, "sys/fs/cgroup/user/job/cpu.max", "max 100000\n")
    assert threads.cgroup_quota(tmp_path) is None
    write(tmp_path, "sys/fs/cgroup/user/cpu.max", "150000 100000\n")
    assert threads.cgroup_quota(tmp_path) == 1.5
    write(tmp_path, "sys/fs/cgroup/user/job/cpu.max", "50000 100000\n")
    assert threads.cgroup_quota(tmp_path) == 0.5


def test_quota_of_cgroup_v1(tmp_path):
    write(tmp_path, "proc/self/cgroup", "4:cpu,cpuacct:/job\n3:memory:/job\n")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n")
    assert threads.cgroup_quota(tmp_path) is None
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n")
    assert threads.cgroup_quota(tmp_path) == 2.5


def test_quota_of_a_container_whose_host_path_is_not_mounted(tmp_path):
    write(tmp_path, "proc/self/cgroup", "0::/docker/0123\n")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "200000 100000\n")
    assert threads.cgroup_quota(tmp_path) == 2.0


# --- running


@needs_openmp
def test_kernel_uses_as_many_threads_as_asked(squares):
    for count in (1, 2, 3):
        threads.prepare_launch(count)
        assert squares.run() == set(range(count))


@needs_openmp
def test_the_runtime_is_told_once(squares):
    threads.prepare_launch(2)
    library = threads.openmp_library()
    library.omp_set_num_threads(1)  # as threadpoolctl does, for example
    threads.prepare_launch(2)
    assert squares.run() == {0}
    threads.prepare_launch(3)
    assert squares.run() == {0, 1, 2}


@needs_openmp
def test_python_threads_have_their_own_number(squares):
    seen: dict[int, list[set[int]]] = {1: [], 2: [], 3: []}
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(seen))

    def work(count: int) -> None:
        try:
            with threads.limit_threads(count):
                barrier.wait()
                for _ in range(20):
                    threads.prepare_launch()
                    seen[count].append(squares.run())
        except AssertionError as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(count,)) for count in seen]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors
    for count, groups in seen.items():
        assert groups == [set(range(count))] * 20


@needs_openmp
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork")
def test_forked_child_runs_old_and_new_code(squares):
    threads.prepare_launch(2)
    assert squares.run() == {0, 1}
    artifact = squares_artifact()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            threads.prepare_launch(2)
            old = squares.run()
            new = Squares(artifact).run()
            status = 0 if old == new == {0, 1} else 2
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert squares.run() == {0, 1}


@needs_openmp
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_threads_compile_run_and_fork_at_once():
    # In a process of its own, which a deadlock cannot keep: a thread forks while the others are inside kernels.
    code = """
        import importlib.util, os, sys, threading
        spec = importlib.util.spec_from_file_location("kernels", sys.argv[1])
        kernels = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(kernels)
        failures = []

        def work(count):
            for _ in range(3):
                squares = kernels.Squares(kernels.squares_artifact())
                kernels.threads.prepare_launch(count)
                if squares.run() != set(range(count)):
                    failures.append(count)
                child = os.fork()
                if child == 0:
                    try:
                        kernels.threads.prepare_launch(2)
                        os._exit(0 if squares.run() == {0, 1} else 2)
                    finally:
                        os._exit(1)
                _, status = os.waitpid(child, 0)
                if os.waitstatus_to_exitcode(status):
                    failures.append(status)

        workers = [threading.Thread(target=work, args=(count,)) for count in (1, 2, 3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        sys.exit(bool(failures))
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), __file__]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0


def test_without_openmp_the_same_loop_runs_sequentially():
    artifact = squares_artifact(openmp=False)
    assert artifact.metadata["openmp"] is False
    assert not [name for name in artifact.undefined if name.startswith(("__kmpc", "omp_"))]
    threads.prepare_launch(2)
    assert Squares(artifact).run() == {0}


@needs_openmp
def test_missing_runtime_is_said(monkeypatch):
    artifact = squares_artifact()
    assert artifact.metadata["openmp"] is True
    monkeypatch.setattr(threads, "openmp_library", lambda: None)
    with pytest.raises(Exception, match="__kmpc_fork_call") as caught:
        jit.load(artifact.object)
    assert "pip install cmeel-libomp" in caught.value.hint
    assert threads.prepare_launch(5) == 5


@needs_openmp
def test_a_runtime_already_in_the_process_is_shared():
    code = """
        import ctypes
        from phalanx.runtime import threads
        path = threads._installed_openmp()
        if path is not None:
            other = ctypes.CDLL(str(path))
            other.omp_set_num_threads(5)
            assert threads._loaded_openmp() == path
            assert threads.openmp_library().omp_get_max_threads() == 5
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False).returncode == 0
