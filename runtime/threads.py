"""How many threads native code uses, and the OpenMP runtime that provides them.

The number in force is, in this order: the executable's own option (an argument of `prepare_launch`), the
innermost `limit_threads` block of this context, `set_threads`, `PHALANX_NUM_THREADS`, and the processors
this process may use (affinity, cut by the cgroup's CPU quota). Without an OpenMP runtime everything is
compiled sequentially.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import functools
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from phalanx.dialects.errors import ArgumentError
from phalanx.runtime import epoch

ENVIRONMENT_VARIABLE = "PHALANX_NUM_THREADS"
#: The OpenMP runtime ends the process when it cannot make as many threads as it is told to.
MOST_THREADS = 1024
_OPENMP_NAMES = ("libomp", "libiomp5")
_OPENMP_USUAL = "cmeel.prefix/lib/libiomp5"  # where the first of the wheels below puts it, next to its packages
_OPENMP_WHEELS = ("cmeel-libomp", "intel-openmp")

_default: int | None = None
_limit: contextvars.ContextVar[int | None] = contextvars.ContextVar("phalanx_thread_limit", default=None)


def _checked(count: int, origin: str) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ArgumentError(f"{origin}: number of threads must be an integer >= 1, got {count!r}")
    if count > MOST_THREADS:
        raise ArgumentError(f"{origin}: at most {MOST_THREADS} threads, got {count}")
    return count


# --- how many -----------------------------------------------------------------------------------------------


def set_threads(count: int | None) -> int | None:
    """Set the process-wide number of threads (None: back to the default); return the value set before.

    >>> previous = px.set_threads(4)
    >>> px.set_threads(previous)
    4
    """
    global _default
    previous = _default
    _default = None if count is None else _checked(count, "set_threads")
    default_threads.cache_clear()
    epoch.advance()
    return previous


def get_threads() -> int:
    """Number of threads native code started from here uses.

    >>> px.get_threads() >= 1
    True
    """
    limit = _limit.get()
    if limit is not None:
        return limit
    if _default is not None:
        return _default
    return default_threads()


def limit_variable() -> contextvars.ContextVar[int | None]:
    """The context variable behind `limit_threads`, for callers in machine code."""
    return _limit


@contextlib.contextmanager
def limit_threads(count: int) -> Iterator[None]:
    """Use `count` threads inside the block, in this thread or asyncio task only.

    >>> with limit_threads(1):
    ...     step(x)
    """
    token = _limit.set(_checked(count, "limit_threads"))
    try:
        yield
    finally:
        _limit.reset(token)


@functools.cache
def default_threads() -> int:
    """`PHALANX_NUM_THREADS`, or else the processors this process may use.

    Read once, since every launch asks: again after `set_threads` and in a forked child.
    """
    text = os.environ.get(ENVIRONMENT_VARIABLE, "").strip()
    if text in ("", "0"):
        return available_processors()
    try:
        return _checked(int(text), ENVIRONMENT_VARIABLE)
    except ValueError as error:
        message = f"{ENVIRONMENT_VARIABLE}: number of threads must be an integer >= 1, got {text!r}"
        raise ArgumentError(message) from error


def available_processors() -> int:
    """Processors in this process's affinity mask, cut by the CPU quota of its cgroup (rounded up)."""
    if hasattr(os, "sched_getaffinity"):
        processors = len(os.sched_getaffinity(0))
    else:
        processors = os.cpu_count() or 1
    quota = cgroup_quota()
    if quota is not None:
        processors = min(processors, max(1, math.ceil(quota)))
    return max(1, processors)


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """CPU quota of this process's cgroup in processors, None when unlimited.

    The tightest of all ancestors counts. `root` is prefixed to the `/proc` and `/sys` paths.
    """
    quotas: list[float] = []
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    mount = root / "sys/fs/cgroup"
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            quotas += _quotas_upwards(mount, path, _read_quota_v2)
            quotas += _quotas_upwards(mount / "unified", path, _read_quota_v2)
        elif "cpu" in controllers.split(","):
            for name in (controllers, "cpu", "cpu,cpuacct"):
                quotas += _quotas_upwards(mount / name, path, _read_quota_v1)
    return min(quotas, default=None)


def _quotas_upwards(mount: Path, path: str, read: Callable[[Path], float | None]) -> list[float]:
    folder = mount / path.strip("/")
    quotas = []
    # Inside a container the path is the host's and the folder may not exist; the mount itself is then our
    # cgroup.
    for candidate in (folder, *folder.parents):
        quota = read(candidate)
        if quota is not None:
            quotas.append(quota)
        if candidate == mount:
            break
    return quotas


def _read_quota_v2(folder: Path) -> float | None:
    try:
        quota, _, period = (folder / "cpu.max").read_text().strip().partition(" ")
    except OSError:
        return None
    return None if quota == "max" else int(quota) / int(period or 100_000)


def _read_quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except OSError:
        return None
    return quota / period if quota > 0 and period > 0 else None


# --- the OpenMP runtime -------------------------------------------------------------------------------------


def _loaded_openmp() -> Path | None:
    """An LLVM-compatible OpenMP runtime some other library (torch, MKL) already loaded."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        path = Path(line.split(maxsplit=5)[-1])  # address, rights, offset, device, inode, path
        if path.name.split(".")[0].split("-")[0] in _OPENMP_NAMES:
            return path
    return None


def _installed_openmp() -> Path | None:
    """The OpenMP runtime of an installed wheel."""
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    usual = next(filter(Path.exists, (Path(entry, _OPENMP_USUAL + suffix) for entry in sys.path)), None)
    if usual is not None:
        return usual.resolve()
    import importlib.metadata  # 20 ms that most first calls need not pay

    wanted = [name + suffix for name in _OPENMP_NAMES]
    for wheel in _OPENMP_WHEELS:
        try:
            files = importlib.metadata.files(wheel) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            path = Path(str(file.locate()))
            if file.name in wanted and path.exists():
                return path.resolve()
    return None


@functools.cache
def openmp_library() -> ctypes.CDLL | None:
    """The OpenMP runtime, opened once per process; None when there is none.

    One already in the process is shared: two of them would each start a pool, and the second one aborts the
    process ("OMP: Error #15"). For a library imported after us that brings its own, that check is switched
    off by the runtime's own variable, unless the user set it.
    """
    path = _loaded_openmp() or _installed_openmp()
    if path is None:
        return None
    os.environ.setdefault("KMP_DUPLICATE_LIB_OK", "TRUE")
    # RTLD_LOCAL (the default): its GOMP_* names must not be found by libraries built for libgomp.
    try:
        library = ctypes.CDLL(str(path))
        library.omp_set_num_threads.argtypes = [ctypes.c_int]
        library.omp_set_num_threads.restype = None
        library.omp_get_max_threads.argtypes = []
        library.omp_get_max_threads.restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    return library


def openmp_available() -> bool:
    """Whether parallel code can run here; compile with `openmp=False` when not."""
    return openmp_library() is not None


class _Announced(threading.local):
    """The number this thread last gave to the OpenMP runtime, which keeps one per calling thread."""

    count: int | None = None


_announced = _Announced()


def _after_fork_in_child() -> None:
    """The OpenMP runtime starts afresh in a forked child, so what it was told before is void."""
    global _announced
    _announced = _Announced()
    default_threads.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def prepare_launch(count: int | None = None) -> int:
    """Tell the OpenMP runtime how many threads the next native call of this thread uses; return that number.

    `count` is the executable's own option. Costs one comparison when nothing changed since the last call
    here.
    """
    wanted = get_threads() if count is None else count
    if _announced.count != wanted:
        _checked(wanted, "threads")
        library = openmp_library()
        if library is not None:
            library.omp_set_num_threads(wanted)
        _announced.count = wanted
    return wanted
